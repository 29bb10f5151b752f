"""Trains: `python train.py fit --config configs/emoji/quickstart.yaml`; `python train.py --help` lists everything."""

from hrvlm.cli.train import main

if __name__ == "__main__":
    main()
