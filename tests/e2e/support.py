"""Private servers for end-to-end tests, the demo and the benchmarks: nothing here touches a
PostgreSQL, a Prometheus or a port that somebody else uses. Standard library only."""

import atexit
import contextlib
import glob
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Below the ephemeral range, so that no outgoing connection takes the port before we bind it.
PORTS = range(20000, 32000)


def binary():
    """The pgsteward to test: $PGSTEWARD_BIN, or the newest build in build/."""
    named = os.environ.get("PGSTEWARD_BIN")
    if named:
        return named
    built = sorted(glob.glob(str(ROOT / "build/*/pgsteward")), key=os.path.getmtime)
    if not built:
        raise SystemExit("no pgsteward binary: run ./dev build or set PGSTEWARD_BIN")
    return built[-1]


def postgres_bin():
    """The folder of initdb and postgres."""
    named = os.environ.get("PGSTEWARD_PG_BIN")
    if named:
        return pathlib.Path(named)
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda p: int(p.split("/")[4]))
    if not found:
        raise SystemExit("no PostgreSQL server programs: apt-get install postgresql-15")
    return pathlib.Path(found[-1]).parent


def free_port(taken=set()):
    """A free port on 127.0.0.1 that this process has not handed out before."""
    start = 20000 + os.getpid() * 37 % 11000
    for offset in range(len(PORTS)):
        port = PORTS[(start - PORTS.start + offset) % len(PORTS)]
        if port in taken:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        taken.add(port)
        return port
    raise SystemExit("no free port on 127.0.0.1")


def wait_until(condition, seconds, what):
    """Polls `condition` until it is true; its last value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.1)


def http_get(url, headers=None, timeout=10):
    """(status, headers, body text); also for 4xx and 5xx."""
    request = urllib.request.Request(url, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as reply:
            return reply.status, reply.headers, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def samples(page):
    """{'name{labels}': value} of a text page."""
    result = {}
    for line in page.splitlines():
        if line and not line.startswith("#"):
            series, value = line.rsplit(" ", 1)
            result[series] = float(value)
    return result


class Process:
    """A child in its own group that never outlives us."""

    def __init__(self, argv, log, env=None):
        self.log_path = pathlib.Path(log)
        self.log_file = open(log, "ab")
        self.child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.log_file,
                                      stderr=subprocess.STDOUT, env=env, start_new_session=True)
        atexit.register(self.end)

    def end(self):
        if self.alive():
            self.child.terminate()

    def log(self):
        return self.log_path.read_text(errors="replace")

    def alive(self):
        return self.child.poll() is None

    def stop(self, sig=signal.SIGTERM, seconds=15):
        """Its exit code; killed when it does not end in time."""
        if self.alive():
            self.child.send_signal(sig)
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise AssertionError(f"did not end within {seconds} s: {self.child.args}")
        finally:
            self.log_file.close()


class Postgres:
    """A cluster of its own, below a folder of its own; user postgres has every right."""

    def __init__(self, folder, port=None, settings=()):
        self.bin = postgres_bin()
        self.folder = pathlib.Path(folder)
        self.data = self.folder / "data"
        self.port = port or free_port()
        self.settings = ["fsync=off", "listen_addresses=127.0.0.1", f"port={self.port}",
                         f"unix_socket_directories={self.folder}", "max_prepared_transactions=10",
                         "track_io_timing=on", *settings]
        # initdb and postgres refuse root.
        self.drop = []
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self.drop = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}",
                         "--clear-groups"]
        self.run_tool("initdb", "--no-sync", "-D", str(self.data), "-U", "postgres", "-A", "trust",
                      "-E", "UTF8", "--locale=C.UTF-8")
        self.server = None

    def run_tool(self, name, *arguments):
        done = subprocess.run([*self.drop, str(self.bin / name), *arguments], cwd=self.folder,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{name} failed:\n{done.stdout}{done.stderr}")

    def start(self):
        argv = [*self.drop, str(self.bin / "postgres"), "-D", str(self.data)]
        for setting in self.settings:
            argv += ["-c", setting]
        self.server = Process(argv, self.folder / "postgres.log")
        wait_until(self.accepts, 30, "PostgreSQL accepts connections")

    def accepts(self):
        if not self.server.alive():
            raise SystemExit("PostgreSQL ended:\n" + self.server.log())
        return subprocess.run(["psql", *self.client(), "-d", "postgres", "-qc", ""],
                              capture_output=True).returncode == 0

    def stop(self, sig=signal.SIGINT):  # fast shutdown
        if self.server and self.server.alive():
            self.server.stop(sig, 60)

    def client(self, user="postgres"):
        return ["-X", "-h", str(self.folder), "-p", str(self.port), "-U", user]

    def conninfo(self, database="postgres", user="postgres"):
        return f"host={self.folder} port={self.port} dbname={database} user={user}"

    def psql(self, sql, database="postgres", user="postgres"):
        """The output of statements, unaligned; fails on the first error."""
        done = subprocess.run(["psql", *self.client(user), "-d", database, "-qAt", "-v",
                               "ON_ERROR_STOP=1", "-f", "-"], input=sql, capture_output=True,
                              text=True)
        if done.returncode:
            raise AssertionError(f"psql failed:\n{done.stderr}")
        return done.stdout.strip()

    def create_hub(self, database):
        """A database with the hub's schema, by the program's own command, which must not complain."""
        self.psql(f"CREATE DATABASE {database}")
        code, out, err = run("schema", "apply", "--dsn", self.conninfo(database))
        assert (code, err) == (0, ""), out + err


def run(*arguments, env=None, timeout=120):
    """One pgsteward command: (exit code, stdout, stderr)."""
    done = subprocess.run([binary(), *map(str, arguments)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=timeout,
                          env={**os.environ, **(env or {})})
    return done.returncode, done.stdout, done.stderr


class Daemon:
    """`pgsteward serve` on a free port, with this YAML besides the `web:` section."""

    def __init__(self, folder, config_text, env=None):
        self.folder = pathlib.Path(folder)
        self.port = free_port()
        self.config = self.folder / "pgsteward.yaml"
        self.write_config(config_text)
        self.process = Process([binary(), "serve", "--config", str(self.config)],
                               self.folder / "pgsteward.log", env={**os.environ, **(env or {})})
        wait_until(self.ready, 15, "pgsteward is ready")

    def write_config(self, config_text):
        self.config.write_text(f"web:\n  listen_address: 127.0.0.1:{self.port}\n{config_text}")

    def url(self, path="/metrics"):
        return f"http://127.0.0.1:{self.port}{path}"

    def ready(self):
        if not self.process.alive():
            raise AssertionError("pgsteward ended:\n" + self.process.log())
        with contextlib.suppress(OSError):
            return http_get(self.url("/-/ready"))[0] == 200
        return False

    def page(self):
        return http_get(self.url())[2]

    def samples(self):
        return samples(self.page())

    def wait_sample(self, series, value, seconds=20):
        wait_until(lambda: self.samples().get(series) == value, seconds, f"{series} {value}")

    def reload(self):
        self.process.child.send_signal(signal.SIGHUP)

    def stop(self):
        return self.process.stop()


class S3:
    """An S3 server of its own (see s3_server.py) with what lies in it, and rclone's configuration of it."""

    SECRET = "a-secret-that-nobody-may-see"

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.port = free_port()
        self.rclone_config = self.folder / "rclone.conf"
        self.write_config(self.SECRET)
        self.process = None

    def write_config(self, secret):
        self.rclone_config.write_text(f"""[s3]
type = s3
provider = Other
endpoint = http://127.0.0.1:{self.port}
region = us-east-1
force_path_style = true
no_check_bucket = true
access_key_id = test:tester
secret_access_key = {secret}
""")
        self.rclone_config.chmod(0o600)

    def start(self):
        self.process = Process(["/usr/bin/python3", str(ROOT / "tests/e2e/s3_server.py"),
                                str(self.folder / "store"), str(self.port)], self.folder / "s3.log",
                               env={**os.environ, "S3_SECRET_KEY": self.SECRET})
        wait_until(self.answers, 30, "the S3 server answers")

    def answers(self):
        if not self.process.alive():
            raise SystemExit("the S3 server (package python3-swift) ended:\n" + self.process.log())
        with contextlib.suppress(OSError):
            return http_get(f"http://127.0.0.1:{self.port}/")[0] > 0
        return False

    def stop(self):
        if self.process and self.process.alive():
            self.process.stop()

    def rclone(self, *arguments, text=None):
        """The output of one rclone command."""
        done = subprocess.run(["rclone", f"--config={self.rclone_config}", *arguments], input=text,
                              capture_output=True, text=True, env=without_aws())
        if done.returncode:
            raise AssertionError(f"rclone failed:\n{done.stderr}")
        return done.stdout


def without_aws():
    """Our environment; rclone would heed a person's own AWS settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


def temporary_folder():
    """A short path, because a socket's may have 107 bytes; user postgres must get through it."""
    folder = tempfile.TemporaryDirectory(prefix="pgst-", ignore_cleanup_errors=True)
    os.chmod(folder.name, 0o755)
    return folder


def age_key(path):
    """Makes an age identity in this file; its recipient, "age1..."."""
    subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True)
    pathlib.Path(path).chmod(0o600)
    return subprocess.run(["age-keygen", "-y", path], check=True, capture_output=True,
                          text=True).stdout.strip()


def tool(name, package):
    """The path of a program, or an exit that says what to install."""
    path = shutil.which(name)
    if not path:
        raise SystemExit(f"{name} is missing: apt-get install {package}")
    return path
