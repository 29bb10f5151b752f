"""open_clip models behind one pixel interface; classifier heads; loading and export."""

from hrvlm.models._modes import evaluating, inferring, one_thread
from hrvlm.models.checkpoint import Checkpoint, name_alone
from hrvlm.models.checkpoints import LoadedModel, cosine_head, load, load_model
from hrvlm.models.classifier import HierarchicalClassifier, LevelKey, check_trees, level_keys
from hrvlm.models.digests import state_digest
from hrvlm.models.export import export_model
from hrvlm.models.finite import NO_LABEL, check_finite, labels_of
from hrvlm.models.heads import CosineHead, Head, PoincareHead
from hrvlm.models.inference import inference_copy
from hrvlm.models.vision_language import VisionLanguageModel

__all__ = [
    "NO_LABEL",
    "Checkpoint",
    "CosineHead",
    "Head",
    "HierarchicalClassifier",
    "LevelKey",
    "LoadedModel",
    "PoincareHead",
    "VisionLanguageModel",
    "check_finite",
    "check_trees",
    "cosine_head",
    "evaluating",
    "export_model",
    "inference_copy",
    "inferring",
    "labels_of",
    "level_keys",
    "load",
    "load_model",
    "name_alone",
    "one_thread",
    "state_digest",
]
