"""The explorer: what a model, its certificates and attacks say of one picture, computed while somebody looks.

`inputs`, `extents`, `votes` and `attacks` compute, without any interface; `fragments` tells what they found as HTML;
`interface` and `serving` put it into a page of this machine, by panel (the extra `explore`).
"""
