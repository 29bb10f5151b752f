"""Trains: `python train.py fit --config configs/emoji/quickstart.yaml`; `python train.py --help` lists everything."""

from hrvlm.cli.programs import train

if __name__ == "__main__":
    train()
