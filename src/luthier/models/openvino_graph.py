"""A model of the Llama form (Llama, Mistral, Qwen 2 and 3) as a stateful OpenVINO graph, built from its safetensors: no export tool, no tracing.

The graph is the one OpenVINO GenAI expects: `input_ids`, `attention_mask`, `position_ids` and `beam_idx` in, `logits` out, the
key-value cache in variables. Linear layers carry the names by which GenAI attaches a PEFT adapter. It knows nothing of text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from openvino import Model, Node
    from torch import Tensor

Weight = Callable[[str], Any]
MASKED = -1e9  # added to the scores of hidden positions; finite, so that a row that sees nothing stays a number


class Form(NamedTuple):
    """What must be known of a configuration.

    head_size: width of a head. biased: names of the linear layers that add a bias, such as "q_proj". normed: queries and keys are normalised, each head
    by itself. frequencies: radians a position of each pair of a head's entries, (head_size / 2,), float32. turn_scale: what cosines and sines are multiplied
    with. context: tokens up to which the graph computes what the model does; windowed: beyond them positions look back at fewer, which the graph does not do.
    """

    layers: int
    heads: int
    kv_heads: int
    head_size: int
    epsilon: float
    tied: bool
    biased: frozenset[str]
    normed: bool
    frequencies: Tensor
    turn_scale: float
    context: int
    windowed: bool


def build_graph(form: Form, weight: Weight, precision: str) -> Model:
    """An `openvino.Model` of the whole network.

    form: what `read_form` tells of the configuration. weight: from a tensor's name to the torch tensor. precision of the stored matrices: "int8" (symmetric,
    one scale a row), "f16" or "f32".
    """
    import openvino as ov
    from openvino import opset13 as op

    ids, mask, positions = (op.parameter([-1, -1], ov.Type.i64, name=n) for n in ("input_ids", "attention_mask", "position_ids"))
    beam = op.parameter([-1], ov.Type.i32, name="beam_idx")
    inputs = [ids, mask, positions, beam]
    layers = Layers(form, Tables(weight, precision), inputs)
    hidden = layers.tables.rows("model.embed_tokens.weight", ids)
    for number in range(form.layers):
        hidden = layers.block(hidden, number)
    hidden = layers.norm(hidden, "model.norm.weight")
    logits = layers.linear(hidden, "model.embed_tokens" if form.tied else "lm_head", "lm_head")
    for parameter in inputs:
        parameter.output(0).set_names({parameter.get_friendly_name()})
    result = op.result(logits)
    logits.output(0).set_names({"logits"})
    return ov.Model([result], layers.sinks, inputs, "luthier")


class Tables:
    """Weight matrices as graph constants in their stored precision, widened to float32 where they are used."""

    def __init__(self, weight: Weight, precision: str) -> None:
        self.weight, self.precision = weight, precision
        self._stored: dict[str, tuple[Any, Any]] = {}

    def vector(self, name: str) -> Node:
        from openvino import opset13 as op

        return op.constant(self.weight(name).float().numpy())

    def matrix(self, name: str) -> Node:
        """(rows, columns), float32."""
        from openvino import opset13 as op

        stored, scale = self._constants(name)
        return _widen(stored) if scale is None else op.multiply(_widen(stored), scale)

    def rows(self, name: str, ids: Node) -> Node:
        """Rows of a matrix; only the rows asked for are widened."""
        from openvino import opset13 as op

        stored, scale = self._constants(name)
        axis = op.constant(0)
        picked = _widen(op.gather(stored, ids, axis))
        return picked if scale is None else op.multiply(picked, op.gather(scale, ids, axis))

    def _constants(self, name: str) -> tuple[Any, Any]:
        from openvino import opset13 as op

        if name not in self._stored:
            stored, scale = quantize(self.weight(name), self.precision)
            self._stored[name] = (op.constant(stored), None if scale is None else op.constant(scale))
        return self._stored[name]


def quantize(matrix: Any, precision: str) -> tuple[Any, Any]:
    """(stored matrix, scale of each row or None) as numpy arrays; int8 rows are scaled by their largest magnitude / 127."""
    import torch

    matrix = matrix.float()
    if precision != "int8":
        return matrix.to(torch.float16 if precision == "f16" else torch.float32).numpy(), None
    scale = (matrix.abs().amax(1, keepdim=True) / 127).clamp(min=1e-12)
    return (matrix / scale).round().clamp(-127, 127).to(torch.int8).numpy(), scale.numpy()


def _widen(node: Node) -> Node:
    import openvino as ov
    from openvino import opset13 as op

    return node if node.get_element_type() == ov.Type.f32 else op.convert(node, ov.Type.f32)


class Layers:
    """The parts of a block. Hidden states are (batch, time, width), heads (batch, heads, time, head size)."""

    def __init__(self, form: Form, tables: Tables, inputs: Sequence[Node]) -> None:
        from openvino import opset13 as op

        ids, mask, positions, self.beam = inputs
        self.form, self.tables = form, tables
        self.heads, self.kv_heads, self.size = form.heads, form.kv_heads, form.head_size
        self.sinks: list[Node] = []
        self.batch = op.gather(op.shape_of(ids), op.constant([0]), op.constant(0))
        self.bias = causal_bias(ids, mask)
        self.cosine, self.sine = rotary_tables(positions, form.frequencies, form.turn_scale)

    def block(self, hidden: Node, number: int) -> Node:
        from openvino import opset13 as op

        name = f"model.layers.{number}"
        hidden = op.add(hidden, self.attention(self.norm(hidden, f"{name}.input_layernorm.weight"), f"{name}.self_attn"))
        mixed = self.norm(hidden, f"{name}.post_attention_layernorm.weight")
        gate, up = self.linear(mixed, f"{name}.mlp.gate_proj"), self.linear(mixed, f"{name}.mlp.up_proj")
        return op.add(hidden, self.linear(op.multiply(op.swish(gate), up), f"{name}.mlp.down_proj"))

    def attention(self, hidden: Node, name: str) -> Node:
        from openvino import opset13 as op

        query = self.rotate(self.norm_heads(self.split(self.linear(hidden, f"{name}.q_proj"), self.heads), f"{name}.q_norm"))
        key = self.rotate(self.norm_heads(self.split(self.linear(hidden, f"{name}.k_proj"), self.kv_heads), f"{name}.k_norm"))
        value = self.split(self.linear(hidden, f"{name}.v_proj"), self.kv_heads)
        number = name.split(".")[2]
        key, value = self.remember(key, f"{number}.key"), self.remember(value, f"{number}.value")
        mixed = op.scaled_dot_product_attention(query, self.repeat(key), self.repeat(value), self.bias)
        joined = op.reshape(_swap_heads(mixed), op.constant([0, 0, self.heads * self.size]), True)
        return self.linear(joined, f"{name}.o_proj")

    def linear(self, hidden: Node, name: str, shown: str | None = None) -> Node:
        from openvino import opset13 as op

        product = op.matmul(hidden, self.tables.matrix(f"{name}.weight"), False, True)
        product.set_friendly_name(f"__module.{shown or name}/ov_ext::linear/MatMul")
        biased = name.rpartition(".")[2] in self.form.biased
        return op.add(product, self.tables.vector(f"{name}.bias")) if biased else product

    def norm(self, hidden: Node, name: str) -> Node:
        import numpy as np
        from openvino import opset13 as op

        mean = op.reduce_mean(op.power(hidden, np.float32(2)), op.constant([-1]), True)
        root = op.sqrt(op.add(mean, np.float32(self.form.epsilon)))
        return op.multiply(op.multiply(hidden, op.divide(np.float32(1), root)), self.tables.vector(name))

    def norm_heads(self, heads: Node, name: str) -> Node:
        return self.norm(heads, f"{name}.weight") if self.form.normed else heads

    def split(self, hidden: Node, heads: int) -> Node:
        from openvino import opset13 as op

        return _swap_heads(op.reshape(hidden, op.constant([0, 0, heads, self.size]), True))

    def rotate(self, heads: Node) -> Node:
        """Rotary position embedding: each half of a head turned against the other."""
        import numpy as np
        from openvino import opset13 as op

        half, step, axis = op.constant([self.size // 2]), op.constant([1]), op.constant([3])
        first = op.slice(heads, op.constant([0]), half, step, axis)
        second = op.slice(heads, half, op.constant([np.iinfo(np.int64).max]), step, axis)
        turned = op.concat([op.multiply(second, np.float32(-1)), first], -1)
        return op.add(op.multiply(heads, self.cosine), op.multiply(turned, self.sine))

    def remember(self, fresh: Node, name: str) -> Node:
        """Past and fresh keys (or values), kept in a variable that GenAI finds and pages."""
        import numpy as np
        import openvino as ov
        from openvino import opset13 as op
        from openvino.op import assign, read_value
        from openvino.op.util import Variable, VariableInfo

        info = VariableInfo()
        info.data_shape = ov.PartialShape([-1, self.kv_heads, -1, self.size])
        info.data_type, info.variable_id = ov.Type.f32, f"past_key_values.{name}present.{name}"
        variable = Variable(info)
        shape = op.concat([self.batch, op.constant([self.kv_heads]), op.constant([0]), op.constant([self.size])], 0)
        past = read_value(op.broadcast(op.constant(np.float32(0)), shape), variable)
        whole = op.concat([op.gather(past, self.beam, op.constant(0)), fresh], 2)
        self.sinks.append(assign(whole, variable))
        return whole

    def repeat(self, heads: Node) -> Node:
        """One key (or value) head for every query head of its group."""
        from openvino import opset13 as op

        group = self.heads // self.kv_heads
        if group == 1:
            return heads
        shape = op.constant([1, 1, group, 1, 1])
        wide = op.broadcast(op.unsqueeze(heads, op.constant(2)), shape, broadcast_spec="BIDIRECTIONAL")
        return op.reshape(wide, op.constant([0, self.heads, -1, self.size]), True)


def causal_bias(ids: Node, mask: Node) -> Node:
    """(batch, 1, time, past + time): 0 where a position may look, `MASKED` where it may not."""
    import numpy as np
    import openvino as ov
    from openvino import opset13 as op

    zero, one = op.constant(np.int64(0)), op.constant(np.int64(1))
    time, total = (op.gather(op.shape_of(node), one, zero) for node in (ids, mask))
    keys = op.range(zero, total, one, ov.Type.i64)
    queries = op.range(op.subtract(total, time), total, one, ov.Type.i64)
    seen = op.less_equal(op.unsqueeze(keys, op.constant([0])), op.unsqueeze(queries, op.constant([1])))
    real = op.unsqueeze(op.convert(mask, ov.Type.boolean), op.constant([1, 2]))
    return op.select(op.logical_and(seen, real), op.constant(np.float32(0)), op.constant(np.float32(MASKED)))


def rotary_tables(positions: Node, frequencies: Tensor, scale: float) -> tuple[Node, Node]:
    """Cosine and sine of position x frequency, times the scale, each (batch, 1, time, head size)."""
    import numpy as np
    import openvino as ov
    from openvino import opset13 as op

    at = op.unsqueeze(op.convert(positions, ov.Type.f32), op.constant([2]))
    angles = op.multiply(at, op.constant(frequencies.numpy().reshape(1, 1, -1)))
    both = op.unsqueeze(op.concat([angles, angles], -1), op.constant([1]))
    return op.multiply(op.cos(both), np.float32(scale)), op.multiply(op.sin(both), np.float32(scale))


def _swap_heads(node: Node) -> Node:
    """(batch, time, heads, size) to (batch, heads, time, size), and back."""
    from openvino import opset13 as op

    return op.transpose(node, op.constant([0, 2, 1, 3]))
