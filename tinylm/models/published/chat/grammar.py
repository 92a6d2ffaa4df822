"""The constructs that a chat program may use, and the places where its values are counted.

A program is parsed by Jinja. A construct that is not on the list is refused by name. Each place
where a value grows or is written gets a call to a method of `Sandbox`: `{{ a ~ b }}` becomes
`written(joined(a, b))`. Read next: sandbox.py.
"""

from typing import Any

from jinja2 import nodes
from jinja2.visitor import NodeTransformer

from tinylm.models.published.chat.functions import FILTERS, TESTS
from tinylm.models.published.chat.limits import check_name, refuse

# Nodes of Jinja's syntax tree. Not among them: imports, includes, inheritance, translation, and
# everything that a later version of Jinja may add.
_NODES = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.For,
    nodes.If,
    nodes.Assign,
    nodes.AssignBlock,
    nodes.Macro,
    nodes.CallBlock,
    nodes.FilterBlock,
    nodes.With,
    nodes.Scope,
    nodes.Break,
    nodes.Continue,
    nodes.Name,
    nodes.NSRef,
    nodes.Const,
    nodes.Tuple,
    nodes.List,
    nodes.Dict,
    nodes.Pair,
    nodes.Keyword,
    nodes.CondExpr,
    nodes.Filter,
    nodes.Test,
    nodes.Call,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Slice,
    nodes.Concat,
    nodes.Compare,
    nodes.Operand,
    nodes.Add,
    nodes.Sub,
    nodes.Mul,
    nodes.Div,
    nodes.FloorDiv,
    nodes.Mod,
    nodes.Neg,
    nodes.Pos,
    nodes.Not,
    nodes.And,
    nodes.Or,
    nodes.ExtensionAttribute,
)


class Guard(NodeTransformer):
    """Refuses what is not on the list, and inserts a counting call wherever values grow.

    Only variables that the program itself sets may begin with an underscore ("_args" in published
    programs): such a name leads to the program's own values and nowhere else.
    """

    def __init__(self, tree: Any) -> Any:
        self._own = {node.name for node in tree.find_all(nodes.Name) if node.ctx != "load"}
        self._own |= {node.name for node in tree.find_all(nodes.Macro)}
        # Two underscores never: Python's own attributes are named so.
        self._own = {name for name in self._own if not name.startswith("__")}

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(node, _NODES):
            refuse(f"{type(node).__name__} (line {node.lineno})")
        # Names of variables, attributes and keyword arguments.
        variable = isinstance(node, (nodes.Name, nodes.NSRef, nodes.Macro))
        for field in ("name", "attr", "key"):
            name = getattr(node, field, None)
            if isinstance(name, str) and not isinstance(node, nodes.ExtensionAttribute):
                if not (variable and field == "name" and name in self._own):
                    check_name(name)
        return super().visit(node, *args, **kwargs)

    # The methods below are called by NodeTransformer, each for the nodes of its name. Children come
    # first (generic_visit), so that the inserted calls are not visited again.

    def visit_Name(self, node: Any) -> Any:
        if node.name in ("self", "super"):
            refuse(f"{node.name!r}")
        return node

    def visit_Filter(self, node: Any) -> Any:
        if node.name not in (*FILTERS, "tojson"):
            refuse(f"the filter {node.name!r}")
        return self.generic_visit(node)

    def visit_Test(self, node: Any) -> Any:
        if node.name not in TESTS:
            refuse(f"the test {node.name!r}")
        return self.generic_visit(node)

    def visit_For(self, node: Any) -> Any:
        if node.recursive:
            refuse("a recursive loop")
        self.generic_visit(node)
        node.iter = _call("counted", node.iter)  # {% for x in counted(y) %}
        return node

    def visit_Output(self, node: Any) -> Any:
        self.generic_visit(node)
        # {{ x }} becomes {{ written(x) }}; text between tags is written through the same call.
        node.nodes = [_call("written", _constant(child)) for child in node.nodes]
        return node

    def visit_Concat(self, node: Any) -> Any:
        self.generic_visit(node)
        return _call("joined", *node.nodes)

    def visit_Compare(self, node: Any) -> Any:
        # Comparing two containers may take as long as they are large.
        self.generic_visit(node)
        node.expr = _call("compared", node.expr)
        for operand in node.ops:
            operand.expr = _call("compared", operand.expr)
        return node

    def visit_Getitem(self, node: Any) -> Any:
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):  # a slice is a new value, an item is not
            return _call("made", node)
        return node

    def _container(self, node):
        self.generic_visit(node)
        if getattr(node, "ctx", "load") == "store":  # {% for a, b in ... %}: targets, no value
            return node
        return _call("made", node)

    visit_List = visit_Tuple = visit_Dict = _container


def _constant(node):
    """The text between tags as an expression; other nodes as they are."""
    if isinstance(node, nodes.TemplateData):
        return nodes.Const(node.data)
    return node


def _call(method, *args):
    """The node of a call of Sandbox.method, which no variable of a program can shadow."""
    called = nodes.EnvironmentAttribute(method)
    return nodes.Call(called, list(args), [], None, None).set_lineno(args[0].lineno or 1)
