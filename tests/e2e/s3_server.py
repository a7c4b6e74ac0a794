"""A real S3 server on loopback: OpenStack Swift with its S3 interface, all of it in one process. It checks
the signature of every request. Needs /usr/bin/python3, Debian's package python3-swift, and a FOLDER on a
file system with extended attributes:

    S3_SECRET_KEY=... s3_server.py FOLDER PORT

The access key is test:tester.
"""

import os
import pathlib
import sys

import eventlet

eventlet.monkey_patch()  # before Swift is loaded

# pylint: disable=wrong-import-position
from eventlet import wsgi
from swift.account import server as account
from swift.common import storage_policy, utils
from swift.common.http_protocol import SwiftHttpProtocol
from swift.common.ring import RingBuilder
from swift.common.wsgi import loadapp
from swift.container import server as container
from swift.obj import server as obj

PROXY = """
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {secret_key} .admin
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
[pipeline:main]
pipeline = catch_errors listing_formats s3api tempauth bulk slo proxy-server
"""


class Cache:
    """What Swift wants of memcached."""

    def __init__(self):
        self.values = {}

    def get(self, key, **_):
        return self.values.get(key)

    def set(self, key, value, **_):
        self.values[key] = value

    def delete(self, key, **_):
        self.values.pop(key, None)

    def incr(self, key, delta=1, **_):
        self.values[key] = self.values.get(key, 0) + delta
        return self.values[key]


def with_cache(app, cache):
    def call(env, start_response):
        env["swift.cache"] = cache
        return app(env, start_response)
    return call


def serve(app, sock):
    wsgi.server(sock, app, log_output=False, protocol=SwiftHttpProtocol,
                capitalize_response_headers=False)


def serve_store(part, factory, folder):
    """And the ring by which the proxy finds it: one disk, one replica."""
    sock = eventlet.listen(("127.0.0.1", 0))
    ring = RingBuilder(part_power=1, replicas=1, min_part_hours=0)
    ring.add_dev({"id": 0, "region": 1, "zone": 1, "weight": 1, "ip": "127.0.0.1",
                  "port": sock.getsockname()[1], "device": "disk"})
    ring.rebalance()
    ring.get_ring().save(str(folder / f"{part}.ring.gz"))
    app = factory({}, swift_dir=str(folder), devices=str(folder), mount_check="false")
    eventlet.spawn(serve, app, sock)


def main():
    folder = pathlib.Path(sys.argv[1])
    (folder / "disk").mkdir(parents=True, exist_ok=True)
    (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = test\n"
                                       "[storage-policy:0]\nname = only\ndefault = yes\n")
    utils.set_swift_dir(str(folder))
    storage_policy.reload_storage_policies()
    for part, server in (("account", account), ("container", container), ("object", obj)):
        serve_store(part, server.app_factory, folder)
    (folder / "proxy.conf").write_text(PROXY.format(secret_key=os.environ["S3_SECRET_KEY"]))
    proxy = loadapp(str(folder / "proxy.conf"), global_conf={"swift_dir": str(folder)})
    serve(with_cache(proxy, Cache()), eventlet.listen(("127.0.0.1", int(sys.argv[2]))))


if __name__ == "__main__":
    main()
