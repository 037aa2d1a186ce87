#!/usr/bin/env python3
"""Weight manifests behind a URL, from a server of this script's own.

usage: remote_weights.py --binary FUSE_DIST

What would make it fail: bytes that travel again though they have not changed, or that every rank fetches; a file that came in
part and is used; a server that answers with an error, lies about lengths, redirects for ever or falls silent, and the run
does not end with status 66 and the URL; a cache that grows beyond its bound; S3 requests without a signature.
"""

import argparse
import hashlib
import http.server
import io
import json
import os
import sys
import tempfile
import threading
import time

import launch

launch.require_numpy()

import numpy  # noqa: E402


def npy(value):
    file = io.BytesIO()
    numpy.save(file, value)
    return file.getvalue()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.log, self.headers = {}, [], []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.server.log.append((self.path, status))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.server.headers.append(dict(self.headers))
        name = self.path.rsplit("/", 1)[-1]
        body = self.server.files.get(self.path)
        if name.startswith("loop"):
            self.answer(302, Location=self.path)
        elif name.startswith("moved"):
            self.answer(302, Location=self.path.replace("moved", "w"))
        elif name.startswith("cut"):
            self.answer(200, b"\x93NUMPY", Content_Length="1000")
        elif name.startswith("huge"):
            self.answer(200, b"\x93NUMPY", Content_Length=str(2**50))
        elif name.startswith("slow"):
            self.server.log.append((self.path, 0))
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            time.sleep(8)
        elif name.startswith("broken"):
            self.answer(503)
        elif body is None:
            self.answer(404)
        else:
            etag = '"' + hashlib.sha256(body).hexdigest()[:16] + '"'
            if self.headers.get("If-None-Match") == etag:
                self.answer(304, ETag=etag)
            else:
                self.answer(200, body, ETag=etag)


def put_manifest(server, *paths):
    weights = [{"name": "WV"[k], "path": path} for k, path in enumerate(paths)]
    server.files["/m/weights.json"] = json.dumps({"version": 1, "weights": weights}).encode()


def run(binary, folder, ranks, url, *options, env=None):
    return launch.run(launch.on_ranks(ranks, [binary, "prog.fuse", "--weights", url, "--weights-cache", "cache", *options]),
                      folder, 60, env=launch.environment(env))


def cached(folder):
    found = [os.path.join(at, name) for at, _, names in os.walk(os.path.join(folder, "cache")) for name in names]
    return {os.path.basename(path): os.path.getsize(path) for path in found}


def expect(result, folder, value):
    assert result.status == 0, result.tail()
    found = numpy.load(os.path.join(folder, "y.npy"))
    assert numpy.array_equal(found, value), found
    os.remove(os.path.join(folder, "y.npy"))


def test_values(binary, folder, server):
    w, v = numpy.arange(6, dtype="f4").reshape(2, 3), numpy.ones((2, 3), "f4")
    server.files["/m/sub/w.npy"], server.files["/m/v.npy"] = npy(w), npy(v)
    put_manifest(server, "sub/w.npy", "v.npy")
    url = server.url("m/weights.json")
    for ranks in 0, 3, 1:
        server.log.clear()
        expect(run(binary, folder, ranks, url), folder, w + v)
        statuses = sorted(status for _, status in server.log)
        assert statuses == ([200] * 3 if ranks == 0 else [304] * 3), f"{ranks} ranks: {server.log}"
    server.files["/m/sub/w.npy"] = npy(w * 2)
    server.log.clear()
    expect(run(binary, folder, 3, url), folder, w * 2 + v)
    assert sorted(status for _, status in server.log) == [200, 304, 304], server.log
    put_manifest(server, "sub/moved.npy", "v.npy")
    expect(run(binary, folder, 1, url), folder, w * 2 + v)
    assert not [name for name in cached(folder) if "." not in name or name.rsplit(".", 1)[1] not in ("npy", "json", "etag")]


def test_bound(binary, folder, server):
    w = numpy.ones((50, 100), "f4")
    with open(os.path.join(folder, "one.fuse"), "w") as file:
        file.write('"y.npy" = W[i,j] * 1\n')
    for k in range(4):
        server.files[f"/m/w{k}.npy"] = npy(w * k)
        put_manifest(server, f"w{k}.npy")
        result = launch.run([binary, "one.fuse", "--weights", server.url("m/weights.json"), "--weights-cache", "cache",
                             "--weights-cache-size", "50K"], folder, 60)
        expect(result, folder, w * k)
        time.sleep(0.05)
        assert sum(cached(folder).values()) <= 50 << 10, cached(folder)
    server.files["/m/weights.json"] = json.dumps({"version": 1, "weights": [
        {"name": "W", "shards": [{"path": f"w{k}.npy"} for k in range(3)]}]}).encode()
    result = launch.run([binary, "one.fuse", "--weights", server.url("m/weights.json"), "--weights-cache", "cache",
                         "--weights-cache-size", "50K"], folder, 60)
    assert result.status == 66 and "--weights-cache-size" in result.err, result.tail()


def test_failures(binary, folder, server):
    for name, mention in (("none.npy", "404"), ("broken.npy", "503"), ("loop.npy", "redirects"), ("cut.npy", "cut.npy"),
                          ("huge.npy", "may hold"), ("slow.npy", "slow.npy")):
        put_manifest(server, name, "v.npy")
        for ranks in 0, 3:
            result = run(binary, folder, ranks, server.url("m/weights.json"), "--weights-timeout", "2")
            assert result.status == 66 and not result.timed_out, f"{name}: {result.tail()}"
            assert result.err.count("error:") == 1 and server.url("m/" + name) in result.err, result.tail()
            assert mention in result.err, f"'{mention}' is not said: {result.tail()}"
            assert name not in cached(folder), cached(folder)
    for url, mention in ((server.url("gone/weights.json"), "404"), ("http://example.invalid/weights.json", "https://"),
                         ("http://127.0.0.1:1/weights.json", "127.0.0.1:1")):
        result = run(binary, folder, 0, url, "--weights-timeout", "2")
        assert result.status == 66 and mention in result.err, result.tail()
    put_manifest(server, "../w.npy", "v.npy")
    result = run(binary, folder, 0, server.url("m/weights.json"), "--weights-anywhere")
    assert result.status == 66 and "outside of the manifest's folder" in result.err, result.tail()


def test_s3(binary, folder, server):
    w = numpy.ones((2, 3), "f4")
    server.files["/bucket/models/weights.json"] = json.dumps({"version": 1, "weights": [
        {"name": "W", "path": "w.npy"}, {"name": "V", "value": numpy.zeros((2, 3)).tolist()}]}).encode()
    server.files["/bucket/models/w.npy"] = npy(w)
    server.headers.clear()
    env = {"AWS_ACCESS_KEY_ID": "test-id", "AWS_SECRET_ACCESS_KEY": "test-secret", "AWS_SESSION_TOKEN": "test-token",
           "AWS_REGION": "eu-north-1", "AWS_ENDPOINT_URL": server.url("").rstrip("/")}
    expect(run(binary, folder, 1, "s3://bucket/models/weights.json", env=env), folder, w)
    for headers in server.headers:
        assert headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=test-id/"), headers
        assert "/eu-north-1/s3/aws4_request" in headers["Authorization"], headers
        assert {k.lower(): v for k, v in headers.items()}["x-amz-security-token"] == "test-token", headers


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--binary", required=True)
    binary = os.path.abspath(parser.parse_args().binary)
    server = Server()
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "prog.fuse"), "w") as file:
            file.write('"y.npy" = W[i,j] + V[i,j]\n')
        if "made without libcurl" in run(binary, folder, 0, server.url("m/weights.json")).err:
            print("this build has no libcurl")
            return launch.SKIP
        test_values(binary, folder, server)
        test_bound(binary, folder, server)
        test_failures(binary, folder, server)
        test_s3(binary, folder, server)
    print("remote manifests are fetched once, checked, bounded, and refused when they should be")
    return 0


if __name__ == "__main__":
    sys.exit(main())
