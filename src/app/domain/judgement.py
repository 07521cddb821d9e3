"""Which built-in route a question belongs to, by what is known of hundreds of others.

Kernel ridge regression, one against the rest (Saunders, Gammerman, Vovk: Ridge Regression Learning Algorithm in Dual
Variables, ICML 1998), over two likenesses of texts added up: of their embeddings, which know what words mean in
English, and of the letters they share, which know a word with a typing error and a language that the embedding model
does not. The same questions and vectors give the same judgement.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.domain.routing import route_score

_Floats = npt.NDArray[np.float32]

SHARPNESS = 2.0
"""exp(-this * (1 - cosine)) is the likeness of two embeddings. With `RIDGE` and the even weight of letters chosen by
cross-validation over the known questions; half or twice of each changes their accuracy by less than .01."""
RIDGE = 0.1
GRAMS = (3, 4)
"""Letters in a row that are compared, a word's beginning and end among them."""
MAX_CHARS = 512
"""Letters of a question's beginning that are compared; its embedding reads on."""

_WORD = re.compile(r"\w+")


def grams_of(text: str) -> frozenset[str]:
    """Runs of `GRAMS` letters within words, without case and accents."""
    plain = unicodedata.normalize("NFKD", text[:MAX_CHARS].casefold())
    bare = "".join(letter for letter in plain if not unicodedata.combining(letter))
    words = {f" {word} " for word in _WORD.findall(bare)}
    return frozenset(word[at : at + n] for word in words for n in GRAMS for at in range(len(word) - n + 1))


@dataclass(frozen=True, slots=True)
class Judgement:
    """`rows` are the vectors of the known questions, `weights` what each says for each route, in the routes' order;
    `letters` the same for each run of letters. `parts` are the rows of a route's questions, `examples` those of them
    that its config shows."""

    routes: tuple[str, ...]
    rows: _Floats
    parts: Mapping[str, slice]
    examples: Mapping[str, Sequence[int]]
    weights: _Floats
    letters: Mapping[str, int]
    letter_weights: _Floats

    @classmethod
    def of(
        cls, questions: Mapping[str, Sequence[str]], rows: _Floats, examples: Mapping[str, Collection[str]]
    ) -> Judgement:
        """`rows`: the vectors of all questions, in their order; `examples` are among them. About a quarter of a second
        of CPU for a thousand."""
        routes = tuple(questions)
        texts = [text for name in routes for text in questions[name]]
        labels = np.repeat(np.arange(len(routes)), [len(questions[name]) for name in routes])
        grams = [grams_of(text) for text in texts]
        shares, letters = _shares(grams)
        alike = np.exp(SHARPNESS * (rows @ rows.T - 1)) + shares @ shares.T
        said = np.where(labels[:, None] == np.arange(len(routes)), 1.0, -1.0)
        weights = np.linalg.solve(alike.astype(np.float64) + RIDGE * np.eye(len(texts)), said).astype(np.float32)
        bounds = np.cumsum([0, *(len(questions[name]) for name in routes)]).tolist()
        parts = {name: slice(bounds[at], bounds[at + 1]) for at, name in enumerate(routes)}
        shown = {
            name: [at for at in range(part.start, part.stop) if texts[at] in examples.get(name, ())]
            for name, part in parts.items()
        }
        return cls(routes, rows, parts, shown, weights, letters, shares.T @ weights)

    def margins(self, query: str, cosines: _Floats) -> _Floats:
        """What is said for each route: about 1 for a question that belongs to it, about -1 for another."""
        grams = grams_of(query)
        known = [self.letters[gram] for gram in grams if gram in self.letters]
        found: _Floats = np.exp(SHARPNESS * (cosines - 1)) @ self.weights
        if known:
            found = found + self.letter_weights[known].sum(0) / np.float32(len(grams) ** 0.5)
        return found

    def scores(self, query: str, vector: _Floats, *, threshold: float) -> dict[str, float]:
        """By route. Of the one that is judged right: its examples' `route_score`, since hundreds of questions would
        put it before a tenant's own route that has a few; at least `threshold` if all its questions reach that. Of the
        others: below nothing by how much less was said for them."""
        cosines = self.rows @ vector
        margins = self.margins(query, cosines)
        best = int(margins.argmax())
        found = {name: float(margins[at] - margins[best]) for at, name in enumerate(self.routes)}
        name = self.routes[best]
        score = route_score(cosines[self.parts[name]].tolist())
        if self.examples[name]:
            score = max(route_score(cosines[self.examples[name]].tolist()), min(score, threshold))
        return found | {name: score}


def _shares(grams: Sequence[frozenset[str]]) -> tuple[_Floats, dict[str, int]]:
    """One row a text, so that the product of two is the cosine of their sets; and the column of each run of letters."""
    letters = {gram: at for at, gram in enumerate(sorted(Counter(gram for of in grams for gram in of)))}
    shares = np.zeros((len(grams), len(letters)), dtype=np.float32)
    for row, of in enumerate(grams):
        if of:
            shares[row, [letters[gram] for gram in of]] = 1 / len(of) ** 0.5
    return shares, letters
