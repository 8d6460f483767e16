"""Generate the asynchronous Python client from the synchronous one, so that every question is written once."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).parents[2] / "lineage" / "serve" / "http_client.py"
_HEAD: Final = '''\
"""The asynchronous client of the HTTP API: the same questions as ``Client``, awaited.

    async with AsyncClient("https://delegraph.example", token=token) as delegraph:
        answer = await delegraph.who("mail-7")
        async for action in delegraph.actions(human="human:alice@example.com"):
            print(action["action"])

Generated from ``http_client`` by ``make reference``; a test fails when this module is stale.
"""
'''
_AWAITED: Final = {("self", "_ask"), ("self", "_sent"), ("self", "_sleep"), ("_http", "request"), ("_http", "aclose")}
_NAMES: Final = {
    "Client": "AsyncClient",
    "Items": "AsyncItems",
    "Iterator": "AsyncIterator",
    "time": "asyncio",
    "__enter__": "__aenter__",
    "__exit__": "__aexit__",
}


class _ToAsync(ast.NodeTransformer):
    """Rename what has an asynchronous counterpart, await what blocks, and make functions that await coroutines."""

    def visit_alias(self, node: ast.alias) -> ast.AST:
        return ast.alias(_NAMES.get(node.name, node.name), node.asname)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.generic_visit(node)
        node.name = _NAMES[node.name]
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(_NAMES.get(node.id, node.id), node.ctx)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.value, ast.Name) and node.value.id == "httpx" and node.attr == "Client":
            node.attr = "AsyncClient"
        if isinstance(node.value, ast.Attribute) and node.value.attr == "_http" and node.attr == "close":
            node.attr = "aclose"
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        called = node.func
        if isinstance(called, ast.Attribute):
            owner = called.value
            name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
            if (name, called.attr) in _AWAITED or (name, called.attr) == ("self", "close"):
                return ast.Await(node)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.value, ast.YieldFrom):
            item = ast.Name("item", ast.Store())
            each: list[ast.stmt] = [ast.Expr(ast.Yield(ast.Name("item", ast.Load())))]
            return ast.copy_location(ast.For(item, node.value.value, each, []), node)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.name = _NAMES.get(node.name, node.name)
        waits = any(isinstance(inner, ast.Await) for inner in ast.walk(node))
        if not waits and node.name != "__aenter__":
            return node
        return ast.copy_location(ast.AsyncFunctionDef(**dict(ast.iter_fields(node))), node)


def reference() -> str:
    """Return the text of the module ``lineage/serve/async_http_client.py``."""
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    [client] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Client"]
    own = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    own |= {
        node.target.id for node in tree.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    used = {node.id for node in ast.walk(client) if isinstance(node, ast.Name)}
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    shared = ast.ImportFrom("lineage.serve.http_client", [ast.alias(name) for name in sorted(used & own)], 0)
    variable = next(node for node in tree.body if isinstance(node, ast.Assign) and "_Answer" in ast.unparse(node))
    body = [ast.unparse(_ToAsync().visit(node)) for node in (*imports, shared, variable, client)]
    body[0] = f"from collections.abc import Awaitable\n{body[0]}"
    text = "\n".join([_HEAD, *body]).replace(
        "sleep: Callable[[float], None]", "sleep: Callable[[float], Awaitable[None]]"
    )
    return _tidied(text)


def _tidied(text: str) -> str:
    ruff = (sys.executable, "-m", "ruff")
    checked = _run(*ruff, "check", "--quiet", "--fix-only", "--select", "F401,I", "-", text=text)
    return _run(*ruff, "format", "--quiet", "--stdin-filename", "async_http_client.py", "-", text=checked)


def _run(*command: str, text: str) -> str:
    done = subprocess.run(  # noqa: S603 (our own formatter)
        [*command], input=text, capture_output=True, text=True, check=True, cwd=SOURCE.parents[2]
    )
    return done.stdout
