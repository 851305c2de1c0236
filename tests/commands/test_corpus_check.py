import json
import re


def test_corpus_check_is_a_doctor(run, here):
    (here / "old.txt").write_bytes("caf\xe9 au lait\r\n".encode("cp1252") * 9)
    (here / "mac.txt").write_bytes(b"\xef\xbb\xbfone\rtwo\r\nthree\n" * 1)
    (here / "list.txt").write_bytes(b"".join(b"name%d\n" % n for n in range(300)) + b"\x1b\0")
    code, out, err = run("corpus", "check", "old.txt", "mac.txt", "list.txt", "--json")
    assert (code, err) == (1, "")  # one of them can't be read
    found = json.loads(out)
    old, mac, names = found["files"]
    assert "give --encoding cp1252" in old["problem"]
    assert (mac["encoding"], mac["num_cr"], mac["num_crlf"], mac["num_lf"]) == (
        "utf-8-sig",
        1,
        1,
        1,
    )
    assert (names["num_lf"], names["longest_line"]) == (300, 7)
    assert found["control_characters"] == {"U+0000": 1, "U+001B": 1}
    assert found["num_chars"] == 14 + names["num_chars"]
    total = found["num_train_chars"] + found["num_val_chars"] + found["num_test_chars"]
    assert total == found["num_chars"]
    cures = " ".join(problem["cure"] for problem in found["problems"])
    for flag in ("--keep-line-ends", "--level byte", "--min-count 10", "--from RUN"):
        assert flag in cures
    out = run("corpus", "check", "old.txt", "mac.txt", "list.txt")[1]
    assert "cp1252" in out
    assert "\x1b" not in out
    code, out, err = run("corpus", "check", "absent.txt", "--json")
    assert (code, out) == (1, "")
    assert "absent.txt" in err
    for text in ("", "a", "ab", "abc"):
        (here / "few.txt").write_text(text)
        found = json.loads(run("corpus", "check", "few.txt", "--json")[1])
        assert found["num_chars"] == len(text)
        assert found["num_train_chars"] >= 0
        assert found["problems"]
    (here / "crlf.txt").write_bytes(b"x\r\ny\r\n\r\nz\r\n" * 40)
    for how in ("lines", "blank-lines", "x$"):
        found = json.loads(
            run("corpus", "check", "crlf.txt", "--split-documents", how, "--json")[1]
        )
        assert found["num_documents"] == {"lines": 160, "blank-lines": 41, "x$": 40}[how]


def test_corpus_check_suggests_documents_and_normal_forms(run, here):
    (here / "names.txt").write_text("".join(f"name {n}\n" for n in range(300)))
    (here / "accents.txt").write_text("cafe\u0301 and caf\xe9 and so on, and a longer line\n" * 9)
    cures = {}
    for name in ("names.txt", "accents.txt"):
        problems = json.loads(run("corpus", "check", name, "--json")[1])["problems"]
        cures[name] = [problem["cure"] for problem in problems]
    assert any("--split-documents lines" in cure for cure in cures["names.txt"])
    assert any("--normalize nfc" in cure for cure in cures["accents.txt"])
    assert any("remove the copies" in cure for cure in cures["accents.txt"])
    (here / "good.txt").write_text(
        "".join(f"{n} is a number that stands here and there, at its place\n" for n in range(4000))
    )
    assert json.loads(run("corpus", "check", "good.txt", "--json")[1])["problems"] == []
    assert "no problems found" in run("corpus", "check", "good.txt")[1]


def test_corpus_check_lists_every_file_that_is_skipped(run, here):
    (here / "folder").mkdir()
    (here / "folder/a.txt").write_text("the quick brown fox\n" * 20)
    for number in range(12):
        (here / f"folder/{number:02}.bin").write_bytes(b"\0")
    skipped = json.loads(run("corpus", "check", "folder", "--json")[1])["skipped"]
    assert len(skipped) == 12
    assert skipped[0]["path"].endswith("00.bin")
    assert skipped[0]["reason"] == "binary"
    out = run("corpus", "check", "folder")[1]
    assert all(f"{number:02}.bin" in out for number in range(12))


def test_corpus_check_says_what_is_an_estimate(run, here):
    (here / "a.txt").write_text("the quick brown fox\n" * 200)
    out = run("corpus", "check", "a.txt")[1]
    assert re.search(r"five minutes, two usual cores +\d x \d+ lstm, about [\d,]+ characters", out)
    (here / "few.txt").write_text("a")
    out = run("corpus", "check", "few.txt")[1]
    assert "too short to train on" in out
