import re


def test_corpus_check_reports_what_train_reads(run, here):
    (here / "list.txt").write_bytes(b"".join(b"name%d\r\n" % n for n in range(300)) + b"\x1b")
    out = run.stdout("corpus", "check", "list.txt")
    assert "\x1b" not in out
    assert re.search(r"list\.txt +utf-8 +2,291 +CRLF", out)
    assert "CR and CRLF line ends became LF (--keep-line-ends keeps them)" in out
    assert "the text looks like a list: --split-documents lines" in out
    assert re.search(r"default model \(5 minutes, 2 cores\) +- \(the text is too short\)", out)
    found = run.json("corpus", "check", "list.txt")
    assert found["num_chars"] == sum(split["num_chars"] for split in found["splits"]) == 2291
    assert found["num_train_chars"] == 2061
    bits = found["ngram_bits_per_char"]
    assert bits in found["baseline_bits_per_char"].values()
    assert found["xz_bits_per_char"] is None  # the test text is too short
    assert found["control_characters"] == {}  # it is in the test text


def test_corpus_check_rejects_what_train_rejects(run, here):
    (here / "old.txt").write_bytes("caf\xe9 au lait\r\n".encode("cp1252") * 9)
    (here / "few.txt").write_text("a")
    for name, message in (("old.txt", "cp1252"), ("few.txt", "too few"), ("absent.txt", "absent")):
        err = run.fails(1, "corpus", "check", name, "--json")
        assert message in err


def test_corpus_check_lists_all_skipped_files(run, here):
    (here / "folder").mkdir()
    (here / "folder/a.txt").write_text("the quick brown fox\n" * 20)
    for number in range(12):
        (here / f"folder/{number:02}.bin").write_bytes(b"\0")
    skipped = run.json("corpus", "check", "folder")["skipped"]
    assert len(skipped) == 12
    assert skipped[0]["path"].endswith("00.bin")
    assert skipped[0]["reason"] == "binary"
    out = run("corpus", "check", "folder")[1]
    assert all(f"{number:02}.bin" in out for number in range(12))
