"""Broken policies."""

import os

from corpus import GOOD, case, truncations

FILE = "policy.json"
TEXT = 'X[i,j] = "x.npy"\n"y.npy" = X[i,j]\n'


def policy(name, content, status=66, mentions=None):
    case(f"policy_{name}", FILE, content, text=TEXT, status=status, mentions=mentions, files={"x.npy": GOOD},
         arguments=["--policy", FILE])


# Not JSON, or not the JSON that is read here.
BROKEN = {
    "empty": '', "of_text": 'row', "list": '[]', "number": '1', "null": 'null', "not_closed": '{"mesh": {"a": 2}',
    "key_twice": '{"io": {}, "io": {}}', "key_twice_with_escapes": '{"io": {}, "i\\u006f": {}}',
    "comment": '{"io": {}} // no', "comma_too_many": '{"io": {},}', "two_documents": '{} {}', "deep": "[" * 100000,
    "nul": '{"sharding": {"X\\u0000": "row"}}', "half_a_pair": '{"sharding": {"\\ud800": "row"}}',
    "escape_that_is_none": '{"sharding": {"\\x41": "row"}}',
    "mesh_of_2_to_the_60": '{"mesh": {"a": 1152921504606846976}}',
    "mesh_beyond_64_bits": '{"mesh": {"a": 99999999999999999999}}', "mesh_of_1e400": '{"mesh": {"a": 1e400}}',
    "sharding_twice": '{"sharding": {"X": "row", "X": "column"}}',
}
# JSON that is no policy.
WRONG = {
    "key_unknown": '{"meshes": {}}', "deep_sharding": '{"sharding": ' + '{"X": ' * 60 + "1" + "}" * 61,
    "mesh_that_is_a_list": '{"mesh": [2, 2]}', "mesh_of_text": '{"mesh": "2x2"}',
    "mesh_of_zero": '{"mesh": {"a": 0}}', "mesh_with_a_minus": '{"mesh": {"a": -2}}',
    "mesh_of_reals": '{"mesh": {"a": 1.5}}', "sharding_that_is_a_list": '{"sharding": ["X"]}',
    "sharding_of_numbers": '{"sharding": {"X": 1}}', "sharding_unknown": '{"sharding": {"X": "diagonal"}}',
    "temperatures_of_text": '{"temperatures": {"X": "hot"}}', "strict_weights_of_text": '{"strict_weights": "yes"}',
    "io_of_text": '{"io": "fast"}', "io_key_unknown": '{"io": {"y.npy": {"speed": 9}}}',
    "output_root_that_is_a_number": '{"output_root": 7}', "weights_that_are_a_list": '{"weights": [1]}',
}
for name, content in BROKEN.items():
    policy(name, content)
for name, content in WRONG.items():
    policy(name, content, 65)
policy("that_is_a_folder", os.mkdir)
policy("that_is_a_pipe", os.mkfifo)
policy("that_is_endless", lambda path: os.symlink("/dev/zero", path))
policy("invalid_utf8", b'{"sharding": {"\xff": "row"}}')
policy("with_a_nul", b'{"io": {}\0}')
policy("byte_order_mark_of_utf16", '{"io": {}}'.encode("utf-16"))
truncations("policy", FILE, b'{"mesh": {"a": 2}, "sharding": {"X": {"i": "a"}}}', 5, text=TEXT, files={"x.npy": GOOD},
            arguments=["--policy", FILE])
