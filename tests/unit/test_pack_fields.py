#!/usr/bin/python3
"""Every field of the structs that plans are made of is written to the cache and read back, or left out for a reason.

usage: test_pack_fields.py SOURCE_ROOT

A field that a struct gains and its packing function does not name would make the plans of a second start other plans
than those of the first.
"""

import os
import re
import sys

# header, struct -> source, function
PACKED = {
    ("src/ir/ir.h", "fuse_value"): ("src/ir/ir_pack.c", "pack_value"),
    ("src/ir/ir.h", "fuse_use"): ("src/ir/ir_pack.c", "pack_use"),
    ("src/core/box.h", "fuse_access"): ("src/ir/ir_pack.c", "pack_use"),
    ("src/core/scalar.h", "fuse_scalar_node"): ("src/ir/ir_pack.c", "pack_node"),
    ("src/core/scalar.h", "fuse_scalar"): ("src/ir/ir_pack.c", "fuse_scalar_pack"),
    ("src/core/rules.h", "fuse_rules"): ("src/ir/rules_pack.c", "fuse_rules_pack"),
    ("src/core/rules.h", "fuse_rule_relation"): ("src/ir/rules_pack.c", "pack_relation"),
    ("src/core/rules.h", "fuse_rule_variable"): ("src/ir/rules_pack.c", "pack_variable"),
    ("src/core/rules.h", "fuse_rule_term"): ("src/ir/rules_pack.c", "pack_terms"),
    ("src/core/rules.h", "fuse_rule_atom"): ("src/ir/rules_pack.c", "pack_atom"),
    ("src/core/rules.h", "fuse_rule"): ("src/ir/rules_pack.c", "pack_rule"),
    ("src/core/relation.h", "fuse_draw"): ("src/ir/ir_pack.c", "pack_draw"),
    ("src/core/relation.h", "fuse_tally"): ("src/ir/ir_pack.c", "fuse_tally_pack"),
    ("src/core/probe.h", "fuse_probe"): ("src/ir/ir_pack.c", "fuse_probe_pack"),
    ("src/core/error.h", "fuse_span"): ("src/ir/ir_pack.c", "fuse_span_pack"),
    ("io/format.h", "fuse_sink_storage"): ("src/api/cache.c", "pack_storage"),
    ("src/api/program.h", "fuse_policy_cost"): ("src/api/cache.c", "pack_cost"),
    ("src/ir/ir.h", "fuse_op"): ("src/ir/ir_pack.c", "pack_op"),
    ("src/ir/ir.h", "fuse_ir"): ("src/ir/ir_pack.c", "fuse_ir_pack"),
    ("src/plan/plan.h", "fuse_machine"): ("src/plan/plan_pack.c", "pack_machine"),
    ("src/plan/plan.h", "fuse_plan_request"): ("src/plan/plan_pack.c", "fuse_plan_request_pack"),
    ("src/plan/plan.h", "fuse_mesh"): ("src/plan/plan_pack.c", "pack_mesh"),
    ("src/plan/plan.h", "fuse_layout"): ("src/plan/plan_pack.c", "pack_layout"),
    ("src/plan/plan.h", "fuse_holding"): ("src/plan/plan_pack.c", "pack_holding"),
    ("src/plan/plan.h", "fuse_step"): ("src/plan/plan_pack.c", "pack_step"),
    ("src/plan/plan.h", "fuse_region"): ("src/plan/plan_pack.c", "pack_region"),
    ("src/plan/plan.h", "fuse_buffer"): ("src/plan/plan_pack.c", "pack_buffer"),
    ("src/plan/plan.h", "fuse_chain"): ("src/plan/plan_pack.c", "pack_chain"),
    ("src/plan/plan.h", "fuse_stream"): ("src/plan/plan_pack.c", "pack_stream"),
    ("src/plan/plan.h", "fuse_plan"): ("src/plan/plan_pack.c", ("pack_decisions", "fuse_plan_pack")),
}

# field -> why it is not among the bytes
LEFT_OUT = {
    "fuse_probe.packing": "found anew by every start's scan",
    "fuse_probe.tally": "scanned anew by every start, and compared",
    "fuse_probe.index": "made by every start's scan",
    "fuse_probe.vocabulary": "read by every start's scan; its digest is in that of the probe",
    "fuse_probe.shards": "of weights, and programs with weights from a manifest are not kept",
    "fuse_op.feed": "packed by pack_feed, which knows how many there are",
    "fuse_op.data": "packed by pack_literal, where its size is known",
    "fuse_ir.arena": "memory of the reader",
    "fuse_plan.arena": "memory of the reader",
    "fuse_plan.samples": "made from the mesh",
    "fuse_plan.exchanges": "a memory of the search, empty when it begins",
    "fuse_plan_request.pin": "for the search only; the policy's text is part of the key",
}


def without_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL)


def body_after(text, at):
    """What stands between the next brace and its end."""
    begin = text.index("{", at)
    depth = 0
    for k in range(begin, len(text)):
        depth += (text[k] == "{") - (text[k] == "}")
        if depth == 0:
            return text[begin + 1:k], text[k + 1:]
    raise ValueError("unbalanced braces")


def fields(text, struct):
    found = re.search(rf"^struct {struct} \{{", text, re.MULTILINE)
    if not found:
        sys.exit(f"no struct {struct}")
    body, _ = body_after(text, found.start())
    while "{" in body:  # a struct within: its fields are fields
        at = body.index("{")
        inner, rest = body_after(body, at)
        body = re.sub(r"(struct|enum)\s*\w*\s*$", "", body[:at]) + inner + "; int " + rest
    names = []
    for declaration in body.split(";"):
        declaration = re.sub(r"\[[^]]*\]", "", declaration).strip()
        vector = re.match(r"FUSE_VEC\(.*\)\s*(\w+)$", declaration)
        if vector:
            names.append(vector.group(1))
        elif declaration:
            names += [re.search(r"(\w+)\s*$", part).group(1) for part in declaration.split(",")]
    return names


def function_body(text, name):
    found = re.search(rf"^(?:static )?\w[\w *]*\b{name}\([^;{{]*\)\s*\{{", text, re.MULTILINE)
    if not found:
        sys.exit(f"no function {name}")
    return body_after(text, found.start())[0]


def main(root):
    def read(path):
        with open(os.path.join(root, path), encoding="utf-8") as file:
            return without_comments(file.read())

    wrong, count, unused = [], 0, set(LEFT_OUT)
    for (header, struct), (source, functions) in PACKED.items():
        functions = (functions,) if isinstance(functions, str) else functions
        body = "".join(function_body(read(source), name) for name in functions)
        for field in fields(read(header), struct):
            count += 1
            if f"{struct}.{field}" in LEFT_OUT:
                unused.discard(f"{struct}.{field}")
            elif not re.search(rf"(->|\.|, ){field}\b", body):
                wrong.append(f"{header}: {struct}.{field} is not in {', '.join(functions)} of {source}: the cache would "
                             "lose it")
    wrong += [f"{name} is left out, and there is no such field" for name in sorted(unused)]
    print("\n".join(wrong))
    print(f"{count} fields, {len(wrong)} missing")
    return 1 if wrong or count < 150 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
