"""Broken weight manifests, and files that are not what their manifest says."""

import io
import json
import os

import numpy

from corpus import GOOD, case, npy, truncations
from of_coo import sparse
from of_policies import BROKEN as NOT_JSON

FILE = "m.json"
TEXT = '"never.npy" = W[i,j]\n'
LIST = '"never.npy" = W[i]\n'
ARGUMENTS = ["--weights", FILE]


def array(values, dtype="f4"):
    out = io.BytesIO()
    numpy.save(out, numpy.asarray(values, dtype))
    return out.getvalue()


FILES = {"w.npy": GOOD, "q.npy": array(numpy.zeros((4, 6)), "i1"), "n.npy": array(numpy.zeros((4, 3)), "u1"), "s.npy": array(numpy.ones(4)),
         "a.npy": array(numpy.ones((2, 3))), "b.npy": array(numpy.ones((5, 2)))}


def manifest(name, content, text=TEXT, files=None, mentions=None, **more):
    case(f"manifest_{name}", FILE, content, text=text, files={**FILES, **(files or {})}, mentions=mentions, arguments=ARGUMENTS, **more)


def weight(name, more="", files=None, mentions=None, status=66, **keys):
    """A manifest whose only weight is W, with these keys; `more` is put behind them as it stands."""
    text = json.dumps({"name": "W", **keys})[:-1] + more + "}"
    manifest(f"weight_{name}", '{"version": 1, "weights": [\n  ' + text + "]}", files=files, mentions=mentions, status=status)


# ---- the document

for name, content in NOT_JSON.items():
    if '"' not in content:
        manifest(name, content)
OK = '{"name": "W", "path": "w.npy"}'
DOCUMENTS = {
    "not_closed": '{"version": 1, "weights": [' + OK, "without_weights": '{"version": 1}', "without_a_version": '{"weights": [' + OK + "]}",
    "of_version_2": '{"version": 2, "weights": [' + OK + "]}", "of_version_text": '{"version": "1", "weights": [' + OK + "]}",
    "of_version_1e400": '{"version": 1e400, "weights": [' + OK + "]}", "version_twice": '{"version": 1, "version": 1, "weights": [' + OK + "]}",
    "another_key": '{"version": 1, "weigths": [], "weights": [' + OK + "]}", "weights_of_an_object": '{"version": 1, "weights": ' + OK + "}",
    "weights_of_numbers": '{"version": 1, "weights": [1, 2]}', "weights_of_lists": '{"version": 1, "weights": [[' + OK + "]]}",
    "weight_twice": '{"version": 1, "weights": [' + OK + ", " + OK + "]}", "metadata_that_is_a_list": '{"version": 1, "metadata": [], "weights": [' + OK + "]}",
    "deep_metadata": '{"version": 1, "metadata": ' + '{"a": ' * 100 + "1" + "}" * 100 + ', "weights": [' + OK + "]}",
    "key_with_an_escape_twice": '{"version": 1, "weights": [{"name": "W", "n\\u0061me": "W", "path": "w.npy"}]}',
    "weight_twice_of_100000": '{"version": 1, "weights": [' + ",".join(f'{{"name":"W{k % 99999}","value":1}}' for k in range(100000)) + "]}",
    "without_the_weight": '{"version": 1, "weights": []}',
}
for name, content in DOCUMENTS.items():
    manifest(name, content, status=65 if name == "without_the_weight" else 66, mentions=["W"] if name == "without_the_weight" else None)
manifest("invalid_utf8", b'{"version": 1, "weights": [{"name": "W\xff", "path": "w.npy"}]}')
manifest("with_a_nul", b'{"version": 1, "weights": [{"name": "W\0", "path": "w.npy"}]}')
manifest("of_utf16", ('{"version": 1, "weights": [' + OK + "]}").encode("utf-16"))
manifest("that_is_a_folder", os.mkdir)
manifest("that_is_a_pipe", os.mkfifo)
manifest("that_is_endless", lambda path: os.symlink("/dev/zero", path))
manifest("of_a_gigabyte_of_holes", lambda path: sparse(path, b"{", 1 << 30))
truncations("manifest", FILE, b'{"version": 1, "weights": [{"name": "W", "path": "w.npy", "shape": [5, 3], "dtype": "f32"}]}', 8, text=TEXT, files=FILES,
            arguments=ARGUMENTS)

# ---- names and paths: a weight becomes program text, and a file

for name, value in {"empty": "", "with_a_nul": "W\0"}.items():
    manifest(f"name_{name}", json.dumps({"version": 1, "weights": [{"name": value, "path": "w.npy"}, {"name": "W", "path": "w.npy"}]}))
NO_FORMAT = ["with_a_quote", "with_a_line", "of_a_folder", "of_a_part_that_is_none", "of_no_format"]
for name, value in {"empty": "", "absolute": "/etc/passwd", "that_climbs": "../w.npy", "that_climbs_later": "a/../../w.npy", "with_a_nul": "w.npy\0.npy",
                    "with_a_quote": 'w.npy"\n"never.npy" = W[i,j]\n#', "with_a_line": "w.npy\n", "of_5000_letters": "w" * 5000 + ".npy",
                    "of_the_manifest": FILE, "of_a_folder": "folder", "of_a_folder_of_arrays": "folder.npy", "of_a_part_that_is_none": "w.npy:w",
                    "of_no_format": "w.exe", "of_a_link_that_leads_out": "out.npy", "of_a_url": "http://127.0.0.1:1/w.npy", "of_a_pipe": "pipe.npy",
                    "of_what_is_endless": "zero.npy", "of_a_circle": "circle.npy"}.items():
    weight(f"path_{name}", path=value, mentions=[], status=65 if name in NO_FORMAT else 66, files={
        "out.npy": lambda path: os.symlink("/etc/passwd", path), "zero.npy": lambda path: os.symlink("/dev/zero", path), "pipe.npy": os.mkfifo,
        "circle.npy": lambda path: os.symlink("circle.npy", path), "folder.npy": os.mkdir})

# ---- what belongs to a weight

KEYS = {
    "of_nothing": {}, "of_two_places": {"path": "w.npy", "value": 1}, "another_key": {"path": "w.npy", "size": 3},
    "type_unknown": {"path": "w.npy", "dtype": "f31"}, "type_of_a_number": {"path": "w.npy", "dtype": 32},
    "shape_of_text": {"path": "w.npy", "shape": "5,3"}, "shape_of_reals": {"path": "w.npy", "shape": [5.5, 3]},
    "shape_with_a_minus": {"path": "w.npy", "shape": [-5, 3]}, "shape_of_2_to_the_70": {"path": "w.npy", "shape": [2**70, 3]},
    "shape_of_rank_40": {"path": "w.npy", "shape": [1] * 40}, "scale_of_text": {"path": "w.npy", "scale": "2"},
    "placement_unknown": {"path": "w.npy", "placement": "diagonal"}, "prefetch_of_a_number": {"path": "w.npy", "prefetch": 1},
    "metadata_of_text": {"path": "w.npy", "metadata": "x"}, "value_of_text": {"value": "1"}, "value_of_nothing": {"value": []},
    "value_of_truth": {"value": [[True]]}, "value_of_null": {"value": [[None]]}, "ragged_value": {"value": [[1, 2], [3]]},
    "deep_value": {"value": json.loads("[" * 60 + "1" + "]" * 60)}, "value_of_mixed_depth": {"value": [[1, 2], 3]},
    "shards_of_nothing": {"shards": []}, "shards_of_text": {"shards": ["w.npy"]}, "shards_of_an_object": {"shards": {"path": "w.npy"}},
    "shard_without_a_path": {"shards": [{}]}, "shard_axis_of_40": {"shards": [{"path": "w.npy"}], "shard_axis": 40},
    "shard_axis_with_a_minus": {"shards": [{"path": "w.npy"}], "shard_axis": -1}, "shard_axes_that_differ": {"shards": [{"path": "w.npy", "axis": 1}], "shard_axis": 0},
    "shard_that_is_missing": {"shards": [{"path": "w.npy"}, {"path": "v.npy"}]}, "shards_of_other_types": {"shards": [{"path": "w.npy"}, {"path": "q.npy"}]},
    "shards_of_other_extents": {"shards": [{"path": "w.npy"}, {"path": "b.npy"}]}, "shards_of_other_ranks": {"shards": [{"path": "w.npy"}, {"path": "s.npy"}]},
    "quant_of_text": {"path": "q.npy", "quant": "int8"}, "quant_of_nothing": {"path": "q.npy", "quant": {}},
    "quant_without_a_scale": {"path": "q.npy", "quant": {"dtype": "int8"}}, "quant_of_int3": {"path": "q.npy", "quant": {"dtype": "int3", "scale": 1}},
    "quant_of_reals": {"path": "w.npy", "quant": {"dtype": "int8", "scale": 1}}, "quant_mode_unknown": {"path": "q.npy", "quant": {"dtype": "int8", "scale": 1, "mode": "odd"}},
    "quant_in_groups_of_0": {"path": "q.npy", "quant": {"dtype": "int8", "scale": [[1], [1], [1], [1]], "group_size": 0}},
    "quant_in_groups_with_a_minus": {"path": "q.npy", "quant": {"dtype": "int8", "scale": [[1], [1], [1], [1]], "group_size": -3}},
    "quant_in_groups_of_2_to_the_70": {"path": "q.npy", "quant": {"dtype": "int8", "scale": 1, "group_size": 2**70}},
    "quant_axis_of_7": {"path": "q.npy", "quant": {"dtype": "int8", "scale": [1, 1, 1, 1], "axis": 7}},
    "quant_with_few_scales": {"path": "q.npy", "quant": {"dtype": "int8", "scale": [1, 2, 3]}},
    "quant_with_scales_of_a_cube": {"path": "q.npy", "quant": {"dtype": "int8", "scale": [[[1]]]}},
    "quant_with_ragged_scales": {"path": "q.npy", "quant": {"dtype": "int8", "scale": [[1], [1, 2], [1], [1]]}},
    "quant_with_scales_that_are_missing": {"path": "q.npy", "quant": {"dtype": "int8", "scale": "t.npy"}},
    "quant_symmetric_with_a_zero_point": {"path": "q.npy", "quant": {"dtype": "int8", "scale": 1, "mode": "symmetric", "zero_point": 3}},
    "int4_of_signed_bytes": {"path": "q.npy", "quant": {"dtype": "int4", "scale": 1}}, "int4_of_another_shape": {"path": "n.npy", "shape": [4, 7], "quant": {"dtype": "int4", "scale": 1}},
    "lora_of_text": {"path": "w.npy", "lora": "a.npy"}, "lora_without_adapters": {"path": "w.npy", "lora": {"default": "x"}},
    "lora_default_unknown": {"path": "w.npy", "lora": {"default": "y", "adapters": {"x": {"a": "a.npy", "b": "b.npy"}}}},
    "lora_of_half_an_adapter": {"path": "w.npy", "lora": {"default": "x", "adapters": {"x": {"a": "a.npy"}}}},
    "lora_of_other_ranks": {"path": "w.npy", "lora": {"default": "x", "adapters": {"x": {"a": "w.npy", "b": "b.npy"}}}},
    "lora_the_wrong_way": {"path": "w.npy", "lora": {"default": "x", "merge": True, "adapters": {"x": {"a": "b.npy", "b": "a.npy"}}}},
    "lora_that_would_be_whole": {"path": "w.npy", "lora": {"default": "x", "adapters": {"x": {"a": "a.npy", "b": "b.npy"}}}},
    "lora_called_none": {"path": "w.npy", "lora": {"adapters": {"none": {"a": "a.npy", "b": "b.npy"}}}},
}
for name, keys in KEYS.items():
    weight(name, **keys, mentions=[], status=65 if name == "lora_that_would_be_whole" else 66)
for name, value in {"1e400": "1e400", "nan": "NaN", "text": "one", "of_100_digits_and_a_point": "1." + "9" * 100000 + "e"}.items():
    weight(f"value_{name}", ', "value": [[' + value + "]]")

# ---- files that are not what they were, among many

SHARDS = {"shards": [{"path": f"p{k}.npy"} for k in range(300)]}
PARTS = {f"p{k}.npy": GOOD for k in range(300)}
weight("last_shard_cut", **SHARDS, files={**PARTS, "p299.npy": GOOD[:-1]}, mentions=["p299.npy"])
weight("middle_shard_of_another_shape", **SHARDS, files={**PARTS, "p150.npy": array(numpy.ones((5, 4)))}, mentions=["p150.npy"])
weight("shards_that_overflow", shards=[{"path": "p.npy"}] * 3, mentions=["p.npy"],
       files={"p.npy": lambda path: sparse(path, npy("(4611686018427387904, 1)", "'|u1'"), 2**42)})
