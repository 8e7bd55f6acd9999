"""Nothing that identifies a person, a machine or an account gets into a bundle's files."""

from __future__ import annotations

import json
import re

import pytest

from ocrmaps.debug.redact import Redactor, is_secret_name
from tests.training.conftest import small_run

SECRETS = {
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567",
    "OCRMAPS_PASSWORD": "correct horse battery",
    "MY_SERVICE_TOKEN": "tok-7712-xyzzy",
    "DB_SECRET": "s3cr3t-value",
    "OCRMAPS_CREDENTIALS": "u53r:p455",
}


@pytest.fixture
def redactor():
    return Redactor(
        environment=SECRETS | {"OCRMAPS_CACHE": "/srv/cache"},
        homes=("/home/alice", "/data/people/alice"),
        users=("alice",),
        hosts=("wombat17.lab.example.org",),
    )


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("value 0123456789abcdef0123456789abcdef01234567 in a row", "0123456789abcdef"),
        ("https://bob:hunter2@host.example/x.git", "hunter2"),
        ("https://ghp_abcdefghijklmnopqrstuvwx@github.com/x", "ghp_abcdefghijklmnopqrstuvwx"),
        ("s3://key:sEcReT@bucket/path", "sEcReT"),
        ("postgres://svc:p%40ss@db:5432/x", "p%40ss"),
        ("Authorization: Bearer abcdef123456", "abcdef123456"),
        ("Cookie: theme=dark; sid=swordfish", "swordfish"),
        ("run --api-key abc123 --epochs 3", "abc123"),
        ("run --api-key swordfish --epochs 3", "swordfish"),
        ("--token=abc123", "abc123"),
        ('{"password": "open sesame"}', "sesame"),
        ("password='open sesame'", "sesame"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI"),
        ("AKIAIOSFODNN7EXAMPLE was here", "AKIAIOSFODNN7EXAMPLE"),
        ("hf_abcdefghijklmnopqrst", "hf_abcdef"),
        ("https://x.example/f?X-Amz-Signature=deadbeef&b=1", "deadbeef"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----", "MIIE"),
        ("/home/alice/data/x.jpg", "alice"),
        ("/data/people/alice/x.jpg", "alice"),
        ("/home/bob/x and /Users/carol/y", "bob"),
        ("/home/bob/x and /Users/carol/y", "carol"),
        (r"C:\Users\dave\x", "dave"),
        (r'"C:\\Users\\dave\\x"', "dave"),
        ("logged in as Alice on the machine", "Alice"),
        ("machine api.wandb.ai\n  login user\n  password 89abcdef0123456789abcdef0123456789abcdef", "89abcdef0123"),
        ("wandb login 89abcdef0123456789abcdef0123456789abcdef", "89abcdef0123"),
        ("wandb_v1_AbCdEfGhIjKlMnOpQrStUv", "AbCdEfGh"),
        ("export HF_TOKEN abc123def456", "abc123def456"),
        ("the password is hunter2, as ever", "hunter2"),
        ("curl -u bob:hunter2 https://host.example", "hunter2"),
        ("https://bob:hun/ter2@host.example/x.git", "ter2"),
        ("origin https://x-access-token:ghs_16C7e42F292c6912E7710c83@github.com/o/r.git (fetch)", "ghs_16C7"),
        ("npm_abcdefghijklmnopqrstuvwx", "npm_abcdef"),
        ("ya29.a0AfH6SMBxxxxxxxxxxxxx", "a0AfH6"),
        ("sk_live_4eC39HqLyjWDarjtT1zdp7dc", "4eC39"),
        ("https://hooks.slack.com/services/T0000/B0000/XXXXXXXX", "XXXXXXXX"),
        ("tokens:\n  - swordfish\n  - trout # mine\n", "swordfish"),
        ("tokens:\n  - swordfish\n  - trout # mine\n", "trout"),
        ("api_keys: # of the team\n- swordfish\n", "swordfish"),
        ("a:\n  tokens:\n    - name: x\n      value: swordfish\n", "swordfish"),
        ("tokens: [swordfish, trout]", "trout"),
        ('{"api_keys": ["swordfish",\n "trout"]}', "trout"),
        ("https://api.telegram.org/bot1234567:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/getMe", "AAHdqTcv"),
        ("https://api.telegram.org/bot42:short_token/sendMessage", "short_token"),
        ("started with 1234567890:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw", "AAHdqTcv"),
        ("https://discord.com/api/webhooks/123456/ab-cd_EFGH", "ab-cd_EFGH"),
        ("https://acme.webhook.office.com/webhookb2/0a1b-2c@3d/IncomingWebhook/ffee/9", "ffee"),
        ("https://example.org/webhook/Zm9vYmFy", "Zm9vYmFy"),
        ("https://chat.example.org/hooks/abc9def0ghi1", "abc9def0ghi1"),
        ("mysql -u root -pswordfish shop", "swordfish"),
        ("mysqldump -h db -p'sword fish' shop > x", "sword fish"),
        ("redis-cli -h x -a swordfish ping", "swordfish"),
        ("my password is swordfish, do not tell", "swordfish"),
        ("My database password is: 'sword fish'", "sword fish"),
        ("wombat17.lab.example.org says no", "wombat17"),
        ("[wombat17] says no", "wombat17"),
    ],
)
def test_secrets_are_gone(redactor, text, gone):
    assert gone not in redactor.text(text)


@pytest.mark.parametrize(
    "text",
    [
        "root digest defa7129d5d3, root user of nothing",
        "epoch 3/22, step 123: loss 3.1590, hmean 0.4104 (P 0.665 R 0.297) [480 samples, root defa7129d5d3, seed 0]",
        "KeyError: 'points'",
        "keypoints: 4, monkey = 3, tokenizer=bert",
        "https://github.com/MhLiao/DB/issues/1 at 12:30:45",
        "malice and alicea",
        "sizes: [1, 2, 3] and points: [[1.5, 2.5]], names:\n  - a.png\n  - b.png",
        "mkdir -p runs/a && mysql --port 3306 shop; cp -p a b",
        "https://github.com/git/git/tree/master/hooks and docs/hooks/pre-commit",
        "commit 89abcdef0123456789abcdef0123456789abcdef, the password is wrong, key 'points' is missing",
        "https://example.org:443/a?b=c and https://example.org/@user",
        "",
    ],
)
def test_what_is_no_secret_stays(redactor, text):
    assert redactor.text(text) == text


def test_a_home_folder_is_gone_wherever_it_is_and_whoever_owns_it():
    redactor = Redactor(environment={}, homes=("/srv/people/team-7",))
    assert redactor.text("in /srv/people/team-7/x and /srv/people/team-77/x") == "in ~/x and /srv/people/team-77/x"


def test_redacting_twice_changes_nothing_more(redactor):
    text = (
        "password=abc https://a:b@c /home/alice/x Authorization: Bearer abcdefg\ntokens:\n  - a\n  - b: c\n    d\n"
        'keys: ["abc"] mysql -psecret x; my password is swordfish https://x.example/webhook/abc\n'
    )
    once = redactor.text(text)
    assert redactor.text(once) == once


def test_lists_keep_their_shape(redactor):
    text = '{"keys": ["a", "b"], "n": 1}'
    assert json.loads(redactor.text(text)) == {"keys": ["<redacted>"], "n": 1}
    assert redactor.text("tokens:\n  - a\n  - b\nn: 1") == "tokens:\n  - <redacted>\n  - <redacted>\nn: 1"


def test_values_under_a_secret_name_are_gone_wherever_they_are(redactor):
    data = {"run": {"options": [{"api_key": "plain words"}, {"note": "see /home/alice/x"}]}, "steps": 3, "key": ""}
    shown = redactor.data(data)
    assert "plain words" not in json.dumps(shown) and "alice" not in json.dumps(shown)
    assert shown["steps"] == 3 and shown["run"]["options"][1]["note"] == "see ~/x"


def test_a_user_named_like_a_word_of_ours_is_redacted_in_paths_only():
    redactor = Redactor(environment={}, users=("train",))
    assert redactor.text("split train of /scratch/train/x, train@somewhere") == (
        "split train of /scratch/<user>/x, <user>@somewhere"
    )


def test_names_are_judged_by_their_words():
    assert not is_secret_name("monkey") and not is_secret_name("PassThrough_layers_x".replace("Pass", "Com"))
    assert is_secret_name("SSH_AUTH_SOCK") and is_secret_name("MYKEY") and is_secret_name("x-auth-token")


def test_no_file_of_a_real_bundle_holds_a_secret(world, tmp_path, monkeypatch):
    """Everything that can carry one carries one: the environment, the run, its log, the error, the place."""
    import shutil

    from lightning.pytorch.callbacks import Callback

    from ocrmaps.debug import redact
    from ocrmaps.debug.bundles import find_bundles
    from ocrmaps.pipelines import debug, notes
    from ocrmaps.pipelines.train import train
    from ocrmaps.store.places.cache import find_version

    home = tmp_path / "home" / "zebedee"
    home.mkdir(parents=True)
    shutil.copytree(world / "cache", home / "cache")
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(redact.getpass, "getuser", lambda: "zebedee")
    monkeypatch.setattr(redact.platform, "node", lambda: "wombat17.lab.example.org")

    class Tell(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            raise RuntimeError(f"zebedee@wombat17: https://bob:hunter2@host/x {SECRETS['DB_SECRET']} in {home}/x")

    spec = small_run(watch__pictures=0, data__cache=str(home / "cache"))
    with pytest.raises(RuntimeError, match="hunter2"):
        train(spec, out=home / "runs" / "a", extra=(Tell(),), say=lambda line: None)
    (bundle,) = find_bundles(home / "runs")
    notes.note(bundle.name, f"maybe token={SECRETS['MY_SERVICE_TOKEN']} of zebedee", kind="hypothesis", place=home)
    bad = [*SECRETS.values(), "hunter2", "zebedee", "wombat17"]
    leaks = []
    for path in bundle.path.rglob("*"):
        data = path.read_bytes().lower()
        leaks += [(path.name, word) for word in bad if word.lower().encode() in data]
    assert leaks == []
    assert re.search(r"~/cache/tiny", (bundle.path / "store.json").read_text())
    # The home folder is written ~, so the same person's machine still finds the store.
    assert debug.replay_bundle(bundle).store == "equal"
    assert find_version(home / "cache", "tiny")
