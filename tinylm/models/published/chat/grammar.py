"""Which constructs a chat program may be written in, and where its values are counted.

A program is parsed by Jinja; what is not on the lists is refused by name, and each place where a
value grows or is written gets a call to a method of `Sandbox`: `{{ a ~ b }}` becomes
`written(joined(a, b))`. Read next: sandbox.py.
"""

from jinja2 import nodes
from jinja2.visitor import NodeTransformer

from tinylm.models.published.chat.functions import FILTERS, TESTS
from tinylm.models.published.chat.limits import check_name, refuse

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
    """Refuses what is not on the lists, and puts a counting call wherever values grow.

    No name begins with an underscore but those of variables that the program itself sets, of which
    some published programs have "_args" and the like; these lead nowhere but to its own values.
    """

    def __init__(self, tree):
        self._own = {node.name for node in tree.find_all(nodes.Name) if node.ctx != "load"}
        self._own |= {node.name for node in tree.find_all(nodes.Macro)}
        self._own = {name for name in self._own if not name.startswith("__")}

    def visit(self, node, *args, **kwargs):
        if not isinstance(node, _NODES):
            refuse(f"{type(node).__name__} (line {node.lineno})")
        variable = isinstance(node, (nodes.Name, nodes.NSRef, nodes.Macro))
        for field in ("name", "attr", "key"):
            name = getattr(node, field, None)
            if isinstance(name, str) and not isinstance(node, nodes.ExtensionAttribute):
                if not (variable and field == "name" and name in self._own):
                    check_name(name)
        return super().visit(node, *args, **kwargs)

    def visit_Name(self, node):
        if node.name in ("self", "super"):
            refuse(f"{node.name!r}")
        return node

    def visit_Filter(self, node):
        if node.name not in (*FILTERS, "tojson"):
            refuse(f"the filter {node.name!r}")
        return self.generic_visit(node)

    def visit_Test(self, node):
        if node.name not in TESTS:
            refuse(f"the test {node.name!r}")
        return self.generic_visit(node)

    def visit_For(self, node):
        if node.recursive:
            refuse("a recursive loop")
        self.generic_visit(node)
        node.iter = _call("counted", node.iter)
        return node

    def visit_Output(self, node):
        self.generic_visit(node)
        node.nodes = [_call("written", _constant(child)) for child in node.nodes]
        return node

    def visit_Concat(self, node):
        self.generic_visit(node)
        return _call("joined", *node.nodes)

    def visit_Compare(self, node):
        self.generic_visit(node)
        node.expr = _call("compared", node.expr)
        for operand in node.ops:
            operand.expr = _call("compared", operand.expr)
        return node

    def visit_Getitem(self, node):
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            return _call("made", node)
        return node

    def _container(self, node):
        self.generic_visit(node)
        stored = getattr(node, "ctx", "load") == "store"
        if stored:
            return node
        return _call("made", node)

    visit_List = visit_Tuple = visit_Dict = _container


def _constant(node):
    if isinstance(node, nodes.TemplateData):
        return nodes.Const(node.data)
    return node


def _call(method, *args):
    called = nodes.EnvironmentAttribute(method)
    return nodes.Call(called, list(args), [], None, None).set_lineno(args[0].lineno or 1)
