"""`python -m hrvlm` is `hrvlm`."""

from hrvlm.cli.main import main

if __name__ == "__main__":
    main()
