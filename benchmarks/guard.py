"""What a tenant's rules cost: a prompt, a token of an answer, and compiling them. CPU time of one process, best of
several runs.

    PYTHONPATH=src:tests python -m benchmarks.guard
"""

from __future__ import annotations

import gc
import random
import resource
import time
from collections.abc import Callable, Iterator

from guard.canonical import canonical
from guard.compiled import CompiledGuards, compile_rules
from guard.rules import PatternType, Rule, Stage
from guard.stream import StreamGuard

PROMPT = 2_000
TEXTS = {
    "ASCII": "The quick brown fox asks what olive oil costs at the market today, and whether 5 euros is too much. ",
    "French": "Où est l'école où l'on apprend à être français dès l'été, s'il vous plaît ? ",
    "Russian": "Прочитал вчера статью о том, как правильно хранить деньги и другие важные вещи. ",
    "Chinese": "昨天我读了一篇关于如何正确保存橄榄油的文章，今天我想知道它在市场上多少钱。",
    "mixed": "The quick brown fox — “asks” what œuvre finds at the market, isn’t it 5 €… 😀 ",
    "hostile": "t\u0301h\u200be\u0336 q\u0301u\u0301i\u0301с\u0301k\u0301 ",
    "hostile base64": "UXVpY2sgYnJvd24gZm94 aXMgYSBxdWljayBicm93biBmb3g= ",
}
RNG = random.Random(5)


def words(count: int) -> Iterator[str]:
    letters = "etaoinshrdlucmfwypvbgkqjxz"
    for _ in range(count):
        yield "".join(RNG.choices(letters, k=RNG.randint(5, 12))) + RNG.choice(("", " " + RNG.choice(letters) * 3))


def literals(count: int, stage: Stage = Stage.BOTH) -> list[Rule]:
    kinds = (PatternType.CONTAINS, PatternType.WORD)
    return [Rule(f"r{at}", "why", kinds[at % 2], word, stage) for at, word in enumerate(words(count))]


def expressions(count: int) -> list[Rule]:
    return [Rule(f"x{at}", "why", PatternType.REGEX, rf"\b{word}[\s-]*\d+\b") for at, word in enumerate(words(count))]


def numbers(count: int) -> list[Rule]:
    """Without a letter that a text must have: none is ruled out before all are asked."""
    patterns = (rf"\b[2-9]\d{{{at % 9 + 3}}}(?:[./]\d{{{at % 7 + 2}}}){{{at % 3 + 1}}}\b" for at in range(count))
    return [Rule(f"n{at}", "why", PatternType.REGEX, one) for at, one in enumerate(patterns)]


def best(work: Callable[[], object], *, times: int = 30, rounds: int = 7) -> float:
    """Microseconds of CPU."""
    work()
    found = []
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(times):
            work()
        found.append((time.process_time() - began) / times)
    return min(found) * 1e6


def prompts(name: str, rules: list[Rule]) -> None:
    guard = compile_rules(rules).input
    costs = []
    for kind, unit in TEXTS.items():
        whole = (unit * PROMPT)[:PROMPT]
        texts = whole, whole.encode()[:PROMPT].decode(errors="ignore")
        assert guard.judge(*texts) is None, kind
        characters, in_bytes = (best(lambda text=text: guard.judge(text)) for text in texts)  # type: ignore[misc]
        costs.append(f"{kind} {characters:.0f} ({in_bytes:.0f})")
    print(f"a prompt of {PROMPT} characters (of {PROMPT} bytes), {name}, µs: {', '.join(costs)}")


def streams(name: str, compiled: CompiledGuards) -> None:
    costs = []
    for kind, unit in TEXTS.items():
        text = (unit * 10_000)[:10_000]
        tokens = [text[at : at + 4] for at in range(0, len(text), 4)]

        def answer(tokens: list[str] = tokens) -> None:
            guard = StreamGuard(compiled.output)
            for token in tokens:
                guard.feed(token)
            guard.finish()
            assert guard.verdict is None

        costs.append(f"{kind} {best(answer, times=1) / len(tokens):.2f}")
    print(f"a token of 4 characters, {name}, µs: {', '.join(costs)}")


def compiling(name: str, rules: list[Rule]) -> None:
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    kept = [compile_rules(rules) for _ in range(5)]
    took = (time.process_time() - began) / len(kept)
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / len(kept)
    print(f"compiling {name}: {took * 1e3:.0f} ms, about {memory / 1024:.1f} MB")


def main() -> None:
    began = time.process_time()
    canonical("été" * 40)
    print(f"the tables of Unicode, once in a process: {(time.process_time() - began) * 1e3:.0f} ms")
    compiling("10,000 literals", literals(10_000))
    compiling("1,000 literals", literals(1_000))
    compiling("1,000 expressions", expressions(1_000))
    prompts("1,000 literals", literals(1_000))
    prompts("10,000 literals", literals(10_000))
    prompts("900 literals and 100 expressions", literals(900) + expressions(100))
    prompts("1,000 expressions", expressions(1_000))
    prompts("900 literals and 100 expressions of digits alone", literals(900) + numbers(100))
    prompts("1,000 expressions of digits alone", numbers(1_000))
    streams("1,000 literals", compile_rules(literals(1_000)))
    streams("10,000 literals", compile_rules(literals(10_000)))
    some = [Rule(one.rule_id, one.reason, one.type, one.pattern, Stage.BOTH) for one in expressions(100)]
    streams("900 literals and 100 expressions", compile_rules(literals(900) + some))


if __name__ == "__main__":
    main()
