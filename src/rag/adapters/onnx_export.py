"""The int8 export is made here: torch's exporter, then onnxruntime's dynamic quantization per channel.

Takes some fifteen seconds and 900 MB for the bundled model, so it runs in a process of its own (`python -m
rag.prepare`), when the stack is set up or at a first start.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

from rag.adapters.check_texts import CHECK_TEXTS
from rag.adapters.export_cache import CHECK, MODEL, TOKENIZER, Export, ExportCache, Manifest, sum_of
from rag.adapters.onnx_model import OnnxModel
from rag.adapters.sentence_transformer import ReferenceModel

OPSET = 18
EXAMPLE_TOKENS = 7
"""Any number will do, but for those that torch takes for constants (0 and 1) and the window."""


def build(source: str, key: str, cache: ExportCache) -> Manifest:
    """Puts the export of the model at `source` into the cache, or the reason why there can be none.

    Raises OSError where the model or the place to write is missing.
    """
    reference = ReferenceModel(source, bulk_threads=1)
    with cache.draft() as draft:
        try:
            manifest = _export(reference, draft)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001  exporters fail in as many ways as there are models
            manifest = Manifest(refused=f"{type(error).__name__}: {error}".splitlines()[0][:500])
            for path in draft.iterdir():
                path.unlink()
        cache.keep(key, draft, manifest)
    return manifest


def _export(reference: ReferenceModel, draft: Path) -> Manifest:
    """Raises anything at all; NoExportError where the vectors differ from the reference's."""
    model = reference.transformer
    manifest = Manifest(
        model=reference.name,
        dimension=reference.dimension,
        window=reference.window,
        max_tokens=reference.max_tokens,
        prompt=model.prompts.get(model.default_prompt_name) or "",
        truncate=model.tokenizer.truncation_side,
    )
    (draft / TOKENIZER).write_text(model.tokenizer.backend_tokenizer.to_str(), encoding="utf-8")
    (draft / CHECK).write_bytes(reference.encode(list(CHECK_TEXTS), False).astype("<f4").tobytes())
    _quantized(_traced(reference, draft / "fp32.onnx"), draft / MODEL)
    (draft / "fp32.onnx").unlink()
    files = {name: (draft / name).read_bytes() for name in (MODEL, TOKENIZER, CHECK)}
    sums = {name: sum_of(content) for name, content in files.items()}
    exported = OnnxModel(Export(manifest.model_copy(update={"files": sums}), files))
    return manifest.model_copy(update={"cosine": round(exported.cosine, 4)})


def _traced(reference: ReferenceModel, target: Path) -> Path:
    """The whole of it as one graph: token ids of one text in, its vector out, pooled and normalised as by the
    reference. A text alone has no padding, and so needs no mask."""
    import torch  # noqa: PLC0415  loaded with the reference

    class OneText(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = reference.transformer

        def forward(self, input_ids: Any) -> Any:
            features = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)}
            row = self.model(features)["sentence_embedding"]
            return row / torch.linalg.vector_norm(row, dim=-1, keepdim=True).clamp_min(1e-12)

    example = torch.arange(EXAMPLE_TOKENS, dtype=torch.long).unsqueeze(0) + 2
    tokens = torch.export.Dim("tokens", min=2, max=reference.window)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        torch.onnx.export(
            OneText().eval(),
            (example,),
            target,
            input_names=["input_ids"],
            output_names=["vector"],
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
            dynamic_shapes=({1: tokens},),
        )
    return target


def _quantized(source: Path, target: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415  imports onnx

    logging.getLogger().setLevel(logging.ERROR)  # it recommends a step that changes nothing here, to the root logger
    quantize_dynamic(source, target, per_channel=True, weight_type=QuantType.QInt8)
