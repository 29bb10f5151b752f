"""Functions of SciPy are entered without their package, which is whole for whoever imports it before or after."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hrvlm.certificates.statistics import special

OURS = "from hrvlm.certificates.statistics import special"
SAME = "assert all(getattr(scipy.special, name) is getattr(special, name) for name in special.__all__)"
WHOLE = (
    "import scipy.special, scipy.stats\n"
    f"{SAME}\n"
    "assert scipy.special is sys.modules['scipy.special'] and scipy.special.__doc__\n"
    "assert scipy.special.logsumexp([0.0, 0.0]) > 0.69\n"
    "assert 0.52 < scipy.stats.norm.isf(0.3) < 0.53 and scipy.stats.beta(2, 3).ppf(0.5) > 0.38"
)


@pytest.mark.parametrize(
    "code",
    [
        f"{OURS}\nassert 'scipy.special' not in sys.modules and 'numpy.f2py' not in sys.modules\n{WHOLE}",
        f"import scipy.special\n{OURS}\n{WHOLE}",
        f"import scipy.stats\n{OURS}\n{WHOLE}",
        f"import numpy\nsys.modules['scipy.special._ufuncs'] = None\nimport scipy\n"
        f"try:\n    {OURS}\nexcept ImportError as error:\n    assert '_ufuncs' in str(error)\n"
        "else:\n    raise AssertionError\n"
        f"assert 'scipy.special' not in sys.modules\ndel sys.modules['scipy.special._ufuncs']\n{OURS}\n{WHOLE}",
    ],
    ids=["ours first", "package first", "users of it first", "elsewhere"],
)
def test_package_is_whole(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"import sys\n{code}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_functions_that_moved_are_those_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    import scipy.special

    monkeypatch.delitem(sys.modules, "scipy.special")
    monkeypatch.setattr(special, "_COMPILED", "scipy.special._moved")
    assert special._compiled() is None
    assert "scipy.special" not in sys.modules
    monkeypatch.setitem(sys.modules, "scipy.special", scipy.special)
    assert special._functions()["ndtri"] is scipy.special.ndtri
