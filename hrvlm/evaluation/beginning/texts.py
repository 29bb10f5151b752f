"""The texts of first configurations; words in «» are replaced by what was found in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Task: TypeAlias = Literal["certify", "train", "zero-shot", "oracle"]


@dataclass(frozen=True)
class Text:
    """A configuration, the command that runs it, and the model that this takes where none is named."""

    command: str
    body: str
    model: str = "ViT-B-32/openai"


CERTIFY = Text(
    "hrvlm certify run --checkpoint «model» --config «file» --output runs/certified",
    """\
# Certificates for «words».
#   «command»
# Run again, it goes on where it stopped. Any checkpoint will do (docs/checkpoints.md); what is certified is told in
# docs/certificates.md. Any value can be overridden on the command line, for example --plan.n 10000.
data: «source»
«split»
«classes»
# trees: [tree.yaml] # superclasses as well: see hrvlm tree --help; without trees there is one level, the classes
# templates: openai # prompts: tecoa, openai, a file with one a line; "a picture of a {}" if not given
head: trained # the head that was trained with the checkpoint, if there is one; cosine for plain cosines
device: cpu # or cuda
plan:
  num_images: «images» # spread evenly; null for all
  sigma: 0.25 # standard deviation of the noise, in pixel units from 0 to 1; larger: larger radii of fewer images
  n0: 64 # samples that choose the class
  n: 1000 # samples that prove it: more give larger radii; hrvlm certify plan tells how many are enough
  alpha: 0.001 # probability that a certificate is wrong
  radii: [0.0, 0.25, 0.5] # of the tables
  attributes: # changes named by words; {} stands for the class
    - {name: dark, target: "a dark picture of a {}"}
    - {name: blurred, target: "a blurred picture of a {}"}
""",
)

ZERO_SHOT = Text(
    "hrvlm certify zero-shot --checkpoint «model» --config «file» --output runs/zero_shot",
    """\
# Zero-shot accuracy, clean and attacked, for «words».
#   «command»
# Run again, it goes on where it stopped; attacks and budgets may be added (docs/zero_shot.md).
data: [«source»] # several sources make one table
«split»
«classes»
# templates: openai # prompts: tecoa, openai, a file with one a line
head: trained # the head that was trained with the checkpoint, if there is one; cosine for plain cosines
attacks: [clean, pgd20, apgd] # also aa: AutoAttack, many times dearer
eps: [1/255, 4/255] # budgets in pixel units from 0 to 1
norm: linf # or l2
num_images: 1000 # of each source, spread evenly; null for all
batch_size: 64
num_workers: 0 # processes that read pictures ahead
device: cpu # or cuda
""",
)

ORACLE = Text(
    "hrvlm certify run --checkpoint «model» --config «file» --output runs/answers",
    """\
# Certified answers of a model that answers in words, for «words».
#   «command»
# The checkpoint is a folder of transformers (model and processor), or emoji-captioner (docs/generative.md). What is
# certified is the class that the oracle below gives an answer: the one that the answer names (docs/oracles.md).
data: «source»
«split»
device: cpu # or cuda
answers:
  # prompt: What is in this picture? # what the model is asked; its own default if not given
  decoding: {max_new_tokens: 16}
  questions:
  - oracle:
      class_path: hrvlm.generative.oracles.ExactOracle
      init_args:
        names:
«names»
plan:
  num_images: «images»
  semantic: false # changes named by words need a model of image and text features
  sigma: 0.1 # standard deviation of the noise, in pixel units from 0 to 1
  n0: 16 # answers that choose the class
  n: 100 # answers that prove it
  alpha: 0.01 # probability that a certificate is wrong
  radii: [0.0, 0.05, 0.1]
""",
    model="FOLDER_OF_THE_MODEL",
)

TRAIN = Text(
    "hrvlm train fit --config «file»",
    """\
# Adversarial fine-tuning on «words», certified after each epoch.
#   «command»
# One level of classes: name more trees for superclasses (hrvlm tree --help), or let a language model propose one.
# Budgets are in pixel units from 0 to 1. Methods: docs/methods.md; several devices, bfloat16: configs/scale.
seed_everything: 0
trainer:
  max_epochs: 2
  accelerator: auto
  devices: 1
  inference_mode: false # attacks in validation need gradients
  use_distributed_sampler: false
  num_sanity_val_steps: 0
  limit_val_batches: 0 # accuracy is measured by the callbacks below
  log_every_n_steps: 5
  default_root_dir: runs/first
  logger:
    - class_path: lightning.pytorch.loggers.CSVLogger
      init_args: {save_dir: runs, name: first}
  callbacks:
    - class_path: lightning.pytorch.callbacks.RichProgressBar
    - class_path: hrvlm.callbacks.RobustnessCallback # before and after training
      init_args: {num_images: «images», steps: 20, batch_size: 32}
    - class_path: hrvlm.callbacks.CertificationCallback
      init_args:
        plan:
          class_path: hrvlm.certificates.images.CertificationPlan
          init_args:
            num_images: 8
            sigma: 0.25
            n0: 32
            n: 200
            alpha: 0.01
            radii: [0.0, 0.25]
            attributes:
              - {name: dark, target: "a dark picture of a {}"}
    - class_path: lightning.pytorch.callbacks.ModelCheckpoint
      init_args: {save_last: true, save_top_k: 1}
    - class_path: hrvlm.callbacks.SummaryTable
model:
  class_path: hrvlm.training.fine_tuning.RobustFineTuning
  init_args:
    model: «name» # an open_clip architecture, a folder, or "emoji"
    pretrained: «pretrained» # tag of an architecture's weights; open_clip fetches them once
    trees: [«tree»]
    optimizer: {learning_rate: 1.0e-5, warmup_steps: 10}
    objective:
      class_path: hrvlm.objectives.HierarchicalObjective
      init_args:
        threat_model: {norm: linf, eps: 4/255}
        ascent: {steps: 3, step_size: 2/255}
data:
  class_path: hrvlm.data.folder.FolderDataModule
  init_args:
    train_folder: «train»
«apart»
    evaluation_folders: {validation: «evaluated»}
    image_size: 224 # the pixels in which budgets and radii are stated
    batch_size: 32
    num_workers: 2
""",
)

APART = "    # Pictures that training never sees:"
SAME = """\
    # THE SAME PICTURES: accuracy is that of training. Put some apart, into train and val, and name these folders."""

TEXTS: Mapping[Task, Text] = {"certify": CERTIFY, "train": TRAIN, "zero-shot": ZERO_SHOT, "oracle": ORACLE}
