"""Where settings come from, and what they may be."""

from pathlib import Path

import pytest

from captioner.errors import CaptionerError
from service import Settings
from service.settings import read_settings, warn_of_misspelt


def test_defaults_serve_this_machine_only() -> None:
    assert read_settings([], {}) == Settings()
    assert Settings().host == "127.0.0.1"


def test_a_flag_wins_over_the_environment() -> None:
    environ = {
        "CAPTIONER_PORT": "1",
        "CAPTIONER_BEAM_SIZE": "2",
        "CAPTIONER_CHECKPOINT": "a.safetensors",
        "PORT": "9",
    }
    settings = read_settings(["--port", "3", "--host", "0.0.0.0"], environ)  # noqa: S104
    expected = Settings(host="0.0.0.0", port=3, beam_size=2, checkpoint=Path("a.safetensors"))  # noqa: S104
    assert settings == expected


def test_truth_is_written_out() -> None:
    settings = read_settings(["--metrics", "false", "--tracing", "true"], {"CAPTIONER_METRICS": "true"})
    assert (settings.metrics, settings.tracing) == (False, True)


@pytest.mark.parametrize(
    ("flags", "environ", "words"),
    [
        (["--port", "http"], {}, ("--port", "'http'", "whole number")),
        (
            [],
            {"CAPTIONER_PORT": "tcp://10.0.0.1:80"},
            ("CAPTIONER_PORT", "'tcp://10.0.0.1:80'", "whole number"),
        ),
        (["--port", "70000"], {}, ("port is 70000", "65535")),
        (["--host", ""], {}, ("host",)),
        (["--max-waiting", "65"], {}, ("max_waiting is 65", "between 1 and 64", "server_threads less 8")),
        (["--server-threads", "8"], {}, ("server_threads is 8", "between 9 and 1024")),
        (["--max-batch", "0"], {}, ("max_batch is 0", "between 1 and 256")),
        (["--max-wait-ms", "-1"], {}, ("max_wait_ms is -1",)),
        (["--max-decoding", "0"], {}, ("max_decoding is 0",)),
        (["--deadline-seconds", "0"], {}, ("deadline_seconds is 0",)),
        (["--drain-seconds", "3601"], {}, ("drain_seconds is 3601",)),
        (["--stuck-seconds", "0"], {}, ("stuck_seconds is 0",)),
        (["--reload-seconds", "-1"], {}, ("reload_seconds is -1",)),
        (["--inference-threads", "0"], {}, ("inference_threads is 0",)),
        (["--max-upload-bytes", "5"], {}, ("max_upload_bytes is 5",)),
        (["--beam-size", "51"], {}, ("beam_size is 51", "between 1 and 50")),
        (["--max-length", "0"], {}, ("max_length is 0",)),
        (["--metrics", "yes"], {}, ("--metrics", "'yes'", "true or false")),
        ([], {"CAPTIONER_TRACING": "1"}, ("CAPTIONER_TRACING", "'1'", "true or false")),
        (["--log-format", "xml"], {}, ("log_format is 'xml'", "text or json")),
        (["--log-level", "loud"], {}, ("log_level is 'loud'", "debug or info or warning or error")),
        (["--max-words", "99"], {}, ("max_words is 99", "between 100 and 10000", "beam_size times max_length")),
        (["--max-words", "100", "--beam-size", "6"], {}, ("between 120 and 10000",)),
        (["--max-images", "17"], {}, ("max_images is 17", "between 1 and 16")),
        (["--cache-bytes", "-1"], {}, ("cache_bytes is -1",)),
        (["--cache-entries", "0"], {}, ("cache_entries is 0",)),
        (["--trusted-proxies", "17"], {}, ("trusted_proxies is 17", "between 0 and 16")),
        (["--url-seconds", "0"], {}, ("url_seconds is 0",)),
        (["--device", "tpu"], {}, ("device is 'tpu'", "auto, cpu, cuda, cuda:N or mps")),
    ],
)
def test_what_does_not_fit_is_explained(flags: list[str], environ: dict[str, str], words: tuple[str, ...]) -> None:
    with pytest.raises(CaptionerError) as caught:
        read_settings(flags, environ)
    for word in words:
        assert word in str(caught.value)


def test_help_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_settings(["--help"], {})
    text = capsys.readouterr().out
    for name in Settings.__dataclass_fields__:
        assert f"--{name.replace('_', '-')}" in text
        assert f"CAPTIONER_{name.upper()}" in text


def test_misspelt_variables_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    environ = {"CAPTIONER_MAX_BATHC": "3", "CAPTIONER_SERVICE_XYZZY": "1", "CAPTIONER_PORT": "80", "MAX_BATHC": "3"}
    warn_of_misspelt(environ)
    found = [record.getMessage() for record in caplog.records]
    assert len(found) == 2
    assert "CAPTIONER_MAX_BATHC is no setting" in found[0]
    assert "did you mean CAPTIONER_MAX_BATCH" in found[0]
    assert "CAPTIONER_SERVICE_XYZZY" in found[1]
    assert "--help" in found[1]
    assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_every_size_of_upload_finds_memory() -> None:
    with pytest.raises(CaptionerError, match=r"max_buffered_bytes .*\(twice max_upload_bytes"):
        read_settings(["--max-upload-bytes", str(2**29)], {})
    assert read_settings(["--max-upload-bytes", str(2**29), "--max-buffered-bytes", str(2**30)], {}).max_buffered_bytes
