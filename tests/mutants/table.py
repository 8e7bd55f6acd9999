"""Names every safety check that is held: where it is, what removes it, and the test that sees it."""

from __future__ import annotations

from typing import NamedTuple

OFF = "if False:"


class Mutant(NamedTuple):
    """One check and how it is taken away."""

    room: str
    check: str
    file: str
    text: str
    instead: str
    test: str


def _rows(room: str, file: str, tests: str, *rows: tuple[str, str, str, str]) -> list[Mutant]:
    return [Mutant(room, check, file, text, new, f"{tests}::{test}") for check, text, new, test in rows]


_NAMES = "test_unusable_names_are_refused"
_SECRETS = "test_secrets_are_gone"
_FORMULA = "test_what_begins_like_a_formula_gets_an_apostrophe"
_ENTRY = "test_what_is_no_plain_file_of_one_version_is_refused_before_anything_is_written"
_STATE = "test_state_that_means_nothing_is_refused"

MUTANTS = [
    *_rows(
        "annotations", "ocrmaps/annotations/discovery/pictures.py", "tests/annotations/test_picture_files.py",
        ("a picture name holds no NUL", 'if "\\0" in name:', OFF, _NAMES),
        ("a picture name is no absolute path", 'if slashed.startswith("/"):', OFF, _NAMES),
        ("a picture name has no drive letter", "if _DRIVE.match(slashed):", OFF, _NAMES),
        ("a picture name does not climb", 'if ".." in parts:', OFF, _NAMES),
        ("a picture name is not empty", "if not parts:", OFF, _NAMES),
    ),
    *_rows(
        "annotations", "ocrmaps/annotations/grammar/documents.py", "tests/trust/test_places.py",
        ("an annotation file is no link out of its folder", "if path.is_symlink() and leads_outside(path, root):", OFF,
         "test_an_annotation_that_is_a_link_out_of_its_folder_is_not_read"),
    ),
    *_rows(
        "annotations", "ocrmaps/annotations/grammar/contents.py", "tests/annotations/test_sroie.py",
        ("UTF-16 is refused by name", r'if data[:2] in (b"\xff\xfe", b"\xfe\xff"):', OFF, "test_utf16_is_named"),
    ),
    *_rows(
        "files", "ocrmaps/files.py", "tests/trust/test_places.py",
        ("only regular files are read", "if not stat.S_ISREG(found.st_mode):", OFF,
         "test_what_is_no_regular_file_is_refused_at_once_by_every_reader_of_pictures"),
        ("a file is looked at again once it is open", "_check(os.fstat(handle), path)", "pass",
         "test_a_file_that_becomes_a_pipe_after_it_was_looked_at_is_not_waited_for"),
        ("links are followed to where they lead",
         'return real != root and not real.startswith(os.path.join(root, ""))', "return False",
         "test_an_annotation_that_is_a_link_out_of_its_folder_is_not_read"),
    ),
    *_rows(
        "files", "ocrmaps/files.py", "tests/predict/test_files.py",
        ("a result file is not written over", "if out.exists() and not replace_existing:", OFF,
         "test_nothing_is_written_over_unless_agreed"),
    ),
    *_rows(
        "cells", "ocrmaps/cells.py", "tests/trust/test_tables.py",
        ("a cell does not begin with @", r'''re.compile(r"'*[=+\-@''', r'''re.compile(r"'*[=+\-''', _FORMULA),
        ("a cell does not begin with =", r'''re.compile(r"'*[=+''', r'''re.compile(r"'*[+''', _FORMULA),
        ("a cell of text is guarded", "return guarded(value)", "return value",
         "test_the_tables_of_an_evaluation_hold_no_formula_and_read_back"),
        ("a guarded cell comes back as it was", "return cell[1:] if _GUARDED.match(cell) else cell", "return cell",
         "test_any_text_is_no_formula_and_comes_back"),
    ),
    *_rows(
        "archives", "ocrmaps/store/upkeep/transfer.py", "tests/trust/test_archives.py",
        ("a store's name is no path", "if not re.fullmatch(NAME_PATTERN, name):", OFF,
         "test_the_name_of_a_store_is_a_name_as_in_a_recipe"),
        ("an entry is a plain file", "not entry.isreg() or ", "", _ENTRY),
        ("an entry is not sparse", "entry.issparse() or ", "", "test_a_sparse_entry_does_not_fill_the_disk"),
        ("an entry lies in its version", " or not _PATH.fullmatch(entry.name)", "", _ENTRY),
        ("a file comes once", "if entry.name in entries or ", "if ",
         "test_a_file_twice_and_a_second_version_are_refused"),
        ("an archive holds one version", " or entry.name[:17] != next(iter(entries), entry.name)[:17]", "",
         "test_a_file_twice_and_a_second_version_are_refused"),
        ("files are bounded", "if len(entries) > MOST_FILES:", OFF, "test_more_files_than_any_version_has_are_refused"),
        ("files are those of the manifest", "len(entries) - 1 > files or ", "",
         "test_more_files_than_the_manifest_means_are_refused"),
        ("bytes are those of the manifest", " or total > nbytes", "",
         "test_more_bytes_than_the_manifest_means_are_refused"),
        ("there is room on the disk", "if total > free:", OFF,
         "test_more_than_the_disk_has_room_for_is_refused_before_it_is_written"),
        ("a manifest is bounded", " or manifest.size > LARGEST_MANIFEST:", ":",
         "test_without_a_manifest_or_with_a_huge_one_nothing_is_unpacked"),
    ),
    *_rows(
        "archives", "ocrmaps/store/upkeep/transfer.py", "tests/store/test_held_checks.py",
        ("what was unpacked is verified",
         'if not report.ok:\n            raise StoreCorrupt(\n                f"{archive}',
         'if False:\n            raise StoreCorrupt(\n                f"{archive}',
         "test_an_archive_whose_shard_has_one_wrong_byte_is_not_imported"),
    ),
    *_rows(
        "geometry", "ocrmaps/geometry.py", "tests/test_geometry.py",
        ("an affine map is finite", "not np.isfinite(matrix).all() or ", "",
         "test_an_affine_map_of_numbers_that_are_none_is_refused"),
        ("an affine map can be inverted", "if matrix[0, 0] * matrix[1, 1] == matrix[0, 1] * matrix[1, 0]:", OFF,
         "test_an_affine_map_onto_a_line_or_a_point_is_refused"),
        ("an orientation is 1 to 8", "if orientation not in _ORIENTATIONS:", OFF,
         "test_orientation_outside_one_to_eight_is_refused"),
        ("a frame is a known one", "if self.frame not in FRAMES:", OFF, "test_unknown_frame_is_refused_by_name"),
        ("points are finite", "if not np.isfinite(points).all():", OFF, "test_non_finite_points_are_refused"),
        ("an outline is a list of pairs", "if array.ndim != 2 or array.shape[1] != 2:", OFF,
         "test_b24_a_shape_that_is_not_n_by_two_is_refused"),
    ),
    *_rows(
        "redaction", "ocrmaps/debug/redact.py", "tests/debug/test_redact.py",
        ("secrets of the environment go", "text = text.replace(secret, GONE)", "pass", _SECRETS),
        ("tokens of known shapes go", "text = _SHAPE.sub(GONE, text)", "pass", _SECRETS),
        ("credentials in URLs go", r'text = _URL.sub(rf"\1{GONE}@", text)', "pass", _SECRETS),
        ("headers go", r'text = _HEADER.sub(rf"\1\2{GONE}", text)', "pass", _SECRETS),
        ("lists below a secret name go", "text = _LIST.sub(_hide_list, text)", "pass", _SECRETS),
        ("lists in brackets go", "text = _INLINE.sub(_hide_inline, text)", "pass", _SECRETS),
        ("named secrets go", "text = _PAIR.sub(_hide, text)", "pass", _SECRETS),
        ("secrets in flags go", "text = _FLAG.sub(_hide, text)", "pass", _SECRETS),
        ("user and password go", r'text = _USER.sub(rf"\1{GONE}", text)', "pass", _SECRETS),
        ("secrets in short flags go", r'text = _SHORT_FLAG.sub(rf"\1{GONE}", text)', "pass", _SECRETS),
        ("secrets in sentences go", r'text = _SAID.sub(rf"\1{GONE}", text)', "pass", _SECRETS),
        ("words behind `password` go", r'text = _WORD.sub(rf"\1\2{GONE}", text)', "pass", _SECRETS),
        ("long hexadecimal keys go", r'text = _LONG.sub(rf"\1{GONE}", text)', "pass", _SECRETS),
        ("anybody's home folder goes", 'text = _HOMES.sub("~", text)', "pass",
         "test_a_home_folder_is_gone_wherever_it_is_and_whoever_owns_it"),
        ("values under a secret name go", "return GONE if value and is_secret_name(name) else self.text(value)",
         "return self.text(value)", "test_values_under_a_secret_name_are_gone_wherever_they_are"),
    ),
    *_rows(
        "store", "ocrmaps/store/reader.py", "tests/loader/test_rows.py",
        ("a row exists", "if not 0 <= row < len(self):", OFF, "test_rows_that_do_not_exist_are_refused"),
        ("a buffer has the shape of the row", "target.shape != shape or ", "", 
         "test_rows_of_another_canvas_are_refused"),
        ("index and table agree", "if stored != [offset, nbytes]:", OFF,
         "test_an_index_that_is_sound_but_another_one_is_refused"),
        ("a row's bytes have their digest", "if found != expected:\n            raise self._damage",
         "if False:\n            raise self._damage", "test_one_changed_bit_is_refused_by_name"),
    ),
    *_rows(
        "loader", "ocrmaps/loader/loader.py", "tests/loader/test_loader.py",
        ("an epoch is not negative", "if epoch < 0:", OFF, "test_a_negative_epoch_is_refused"),
        ("a split is a known one", "if split not in SPLITS:", OFF, "test_an_unknown_split_lists_the_known"),
        ("a state is of this order", "if differing:", OFF, "test_state_of_another_order_is_refused_with_what_differs"),
        ("a state has this format", 'if state.get("format") != STATE:', OFF, _STATE),
        ("a state is a place in an epoch", " and epoch >= 0 and 0 <= done <= len(self._order)", "", _STATE),
    ),
    *_rows(
        "checkpoint", "ocrmaps/detect/trained.py", "tests/training/test_checkpoint_file.py",
        ("a checkpoint has this format", 'if card["format"] != FORMAT:', OFF,
         "test_a_checkpoint_of_another_format_is_refused_by_its_number"),
    ),
    *_rows(
        "checkpoint", "ocrmaps/detect/trained.py", "tests/trust/test_named_parts.py",
        ("a checkpoint is plain data", "weights_only=True", "weights_only=False",
         "test_an_object_in_a_file_never_runs"),
    ),
    *_rows(
        "checkpoint", "ocrmaps/training/checkpoint.py", "tests/training/test_checkpoint_file.py",
        ("a checkpoint is on the disk before it has its name", "            _to_disk(temporary)", "            pass",
         "test_a_checkpoint_is_on_the_disk_before_it_has_its_name"),
        ("no half checkpoint stays", "temporary.unlink(missing_ok=True)\n        if isinstance",
         "pass\n        if isinstance", "test_a_full_disk_while_keeping_a_best_one_leaves_no_part"),
    ),
    *_rows(
        "checkpoint", "ocrmaps/training/checkpoint.py", "tests/trust/test_named_parts.py",
        ("a checkpoint chooses no path",
         r'if not all(re.fullmatch(r"best-[A-Za-z0-9.-]+\.ckpt", str(name)) for _, name in pairs):', OFF,
         "test_a_checkpoint_chooses_no_path_to_remove"),
    ),
]  # fmt: skip
