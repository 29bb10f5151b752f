"""Certifies a model: `python certify.py run --checkpoint emoji --config configs/certify/emoji.yaml --output DIR`."""

from hrvlm.cli.certify import main

if __name__ == "__main__":
    main()
