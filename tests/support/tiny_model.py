"""A sentence-transformers model of a few kilobytes, made on the spot: random weights, several scripts, no hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEXTS = (
    "the shop opens at eight and milk costs one euro",
    "der Laden öffnet um acht und Milch kostet einen Euro",
    "магазин открывается в восемь, молоко стоит один евро",
    "店は八時に開き、牛乳は一ユーロです",
    "يفتح المتجر في الثامنة ويكلف الحليب يورو واحدا",
)
DIMENSION, WINDOW = 48, 32


def make_tiny_model(folder: Path, *, seed: int = 7) -> Path:
    """As multilingual models are: XLM-RoBERTa's layers over pieces of words of any script, mean pooling, a prompt."""
    import torch  # noqa: PLC0415  seconds to import: only the tests that need it pay
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer  # noqa: PLC0415
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers  # noqa: PLC0415
    from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel  # noqa: PLC0415

    torch.manual_seed(seed)
    pieces = Tokenizer(models.Unigram())
    pieces.normalizer = normalizers.NFKC()
    pieces.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    pieces.train_from_iterator(
        TEXTS, trainers.UnigramTrainer(vocab_size=300, special_tokens=special, unk_token="<unk>", show_progress=False)
    )
    pieces.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = {"bos_token": "<s>", "cls_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "sep_token": "</s>"}
    tokenizer: Any = PreTrainedTokenizerFast  # its __init__ has no types
    tokenizer(tokenizer_object=pieces, unk_token="<unk>", model_max_length=WINDOW, **names).save_pretrained(
        folder / "bare"
    )
    config = XLMRobertaConfig(
        vocab_size=pieces.get_vocab_size(),
        hidden_size=DIMENSION,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=WINDOW + 2,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        initializer_range=0.2,  # at the usual .02 every text of so small a model has nearly the same vector
    )
    XLMRobertaModel(config).save_pretrained(folder / "bare")
    transformer = Transformer(str(folder / "bare"), max_seq_length=WINDOW)
    model = SentenceTransformer(
        modules=[transformer, Pooling(DIMENSION)],
        prompts={"search": "suche: "},
        default_prompt_name="search",
        device="cpu",
    )
    model.save_pretrained(str(folder / "tiny"), create_model_card=False)
    return folder / "tiny"


def make_tiny_cross_encoder(folder: Path, *, seed: int = 3) -> Path:
    """The architecture of the usual cross-encoders (BERT with one output over a pair), with random weights: it orders
    passages by nothing that means anything, but always in the same way. No package here carries a trained one."""
    import torch  # noqa: PLC0415  as above
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers  # noqa: PLC0415
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast  # noqa: PLC0415

    torch.manual_seed(seed)
    pieces = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    pieces.normalizer = normalizers.BertNormalizer()
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    pieces.train_from_iterator(
        TEXTS, trainers.WordPieceTrainer(vocab_size=400, special_tokens=special, show_progress=False)
    )
    pieces.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    tokenizer: Any = PreTrainedTokenizerFast
    tokenizer(tokenizer_object=pieces, model_max_length=64, **names).save_pretrained(folder)
    config = BertConfig(
        vocab_size=pieces.get_vocab_size(),
        hidden_size=DIMENSION,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        initializer_range=0.5,
    )
    config.num_labels = 1
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder
