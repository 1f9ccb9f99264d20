"""Writes the files beside this one, with PyTorch (1.13): what torch.save makes of tensors, and their values as PyTorch reads them back."""

import collections
import json
import os

import torch

folder = os.path.dirname(os.path.abspath(__file__))


def save(name, value, **options):
    torch.save(value, os.path.join(folder, name), **options)
    return value


def describe(tensors):
    return {
        key: {"type": str(t.dtype).removeprefix("torch."), "shape": list(t.shape), "values": t.detach().double().flatten().tolist()}
        for key, t in tensors.items()
    }


def ramp(*shape, dtype=torch.float32):
    count = 1
    for size in shape:
        count *= size
    return (torch.arange(count, dtype=torch.float64) * 0.3 - 2).reshape(shape).to(dtype)


types = collections.OrderedDict(
    (str(dtype).removeprefix("torch."), ramp(2, 3, dtype=dtype))
    for dtype in [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.int16, torch.int8,
                  torch.bool]
)
types["scalar"] = torch.tensor(1.5)
types["empty"] = torch.empty(0, 4)

# Views of one storage: with an offset, with strides, transposed, with neighbours that are one element; and a parameter.
base = ramp(6, 5)
views = {
    "base": base, "same": base, "rows": base[2:4], "columns": base[:, 1:4], "transposed": base.t(), "steps": base[::2, ::3],
    "expanded": base[0].expand(3, 5), "cube": ramp(2, 3, 4).permute(2, 0, 1), "parameter": torch.nn.Parameter(ramp(3)),
}

linear = torch.nn.Linear(3, 2, bias=True)
with torch.no_grad():
    linear.weight.copy_(ramp(2, 3))
    linear.bias.copy_(ramp(2))

save("types.bin", types)
save("types_protocol4.bin", types, pickle_protocol=4)
save("views.bin", views)
save("state.bin", linear.state_dict())
save("legacy.bin", {"a": ramp(2)}, _use_new_zipfile_serialization=False)
save("module.bin", linear)
save("nested.bin", {"model": {"a": ramp(2)}})
with open(os.path.join(folder, "torch_files.json"), "w", encoding="utf-8") as file:
    json.dump({"types": describe(types), "types_protocol4": describe(types), "views": describe(views),
               "state": describe(linear.state_dict())}, file)
