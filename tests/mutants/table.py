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
_OUTSIDE = "test_weights_outside_the_folder_of_an_onnx_file_are_not_read"
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
        "annotations", "ocrmaps/annotations/grammar/contents.py", "tests/annotations/test_files.py",
        ("UTF-16 is refused by name", r'if data[:2] in (b"\xff\xfe", b"\xfe\xff"):', OFF,
         "test_utf16_is_called_utf16"),
        ("an annotation file is bounded", "if size <= MAX_BYTES:", "if True:",
         "test_files_over_the_size_cap_are_named"),
        ("a file with NUL is no text", 'if "\\0" in text:', OFF, "test_a_nul_is_no_text"),
        ("JSON is not nested without end", "except RecursionError:\n        raise refusal(loc",
         "except RecursionError:\n        raise ValueError(loc",
         "test_json_that_cannot_be_read_has_a_place_and_a_kind"),
        ("a key stands once", "if len(plain) == len(pairs):", "if True:",
         "test_every_doubled_key_is_found_at_its_path"),
    ),
    *_rows(
        "annotations", "ocrmaps/annotations/grammar/xml.py", "tests/annotations/test_cvat.py",
        ("xml has no document type", "    parser.StartDoctypeDeclHandler = doctype\n    try:", "    try:",
         "test_entities_are_refused"),
        ("xml is not nested without end", "if len(stack) >= MAX_DEPTH:", OFF,
         "test_xml_that_is_nested_without_end_is_refused"),
    ),
    *_rows(
        "annotations", "ocrmaps/annotations/grammar/documents.py", "tests/annotations/test_icdar.py",
        ("what a zip unpacks to is bounded", "if total > MAX_BYTES:", OFF, "test_a_zip_bomb_is_refused_by_its_head"),
        ("a zip entry is as long as it says", "if len(data) > entry.file_size:", OFF,
         "test_a_zip_entry_that_is_longer_than_it_says_is_refused"),
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
        "files", "ocrmaps/files.py", "tests/disks/test_result_files.py",
        ("a result file is not written over", "if out.exists() and not replace_existing:", OFF,
         "test_a_result_file_is_replaced_only_if_agreed"),
        ("a folder with something in it is not written into", "if out.exists() and not (out.is_dir()",
         "if False and not (out.is_dir()", "test_a_folder_is_written_into_only_while_it_is_empty"),
        ("no half result file stays", "            part.unlink()", "            pass",
         "test_a_full_disk_is_one_message_and_the_old_file_stays"),
        ("a result file appears whole", "yield part\n        os.replace(part, out)", "yield out",
         "test_a_full_disk_is_one_message_and_the_old_file_stays"),
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
        ("anybody's home folder goes", 'text = _HOMES.sub("~", text)', "pass", _SECRETS),
        ("one's own home folder goes", r'text = re.sub(re.escape(home) + r"(?![\w-])", "~", text)', "pass",
         "test_a_home_folder_is_gone_wherever_it_is_and_whoever_owns_it"),
        ("values under a secret name go", "return GONE if value and is_secret_name(name) else self.text(value)",
         "return self.text(value)", "test_values_under_a_secret_name_are_gone_wherever_they_are"),
    ),
    *_rows(
        "store", "ocrmaps/store/reader.py", "tests/store/test_held_checks.py",
        ("a row exists", "if not 0 <= row < len(self):", OFF, "test_the_strict_reader_knows_its_rows"),
        ("a buffer has the shape of the row", "target.shape != shape or ", "",
         "test_the_strict_reader_fills_only_buffers_of_the_row"),
        ("the ledger has its digest", "if file_digest(data).hex() != stated:", OFF,
         "test_a_ledger_with_one_changed_byte_is_not_read"),
    ),
    *_rows(
        "store", "ocrmaps/store/fast.py", "tests/loader/test_rows.py",
        ("a row asked for in a hurry exists", "if not 0 <= row < len(self._places):", OFF,
         "test_rows_that_do_not_exist_are_refused"),
        ("a buffer filled in a hurry has the shape of the row", "target.shape != shapes[number] or ", "",
         "test_rows_of_another_canvas_are_refused"),
    ),
    *_rows(
        "store", "ocrmaps/store/reader.py", "tests/loader/test_rows.py",
        ("index and table agree", "if stored != [offset, nbytes]:", OFF,
         "test_an_index_that_is_sound_but_another_one_is_refused"),
        ("a row's bytes have their digest", "if found != expected:\n            raise self._damage",
         "if False:\n            raise self._damage", "test_one_changed_bit_is_refused_by_name"),
    ),
    *_rows(
        "store", "ocrmaps/store/format/manifest.py", "tests/store/test_held_checks.py",
        ("a manifest has the bytes that it states", "    if not same:", "    if False:",
         "test_a_manifest_with_one_changed_value_is_refused"),
        ("a manifest lies in the folder of its version", "if version != manifest.version:", OFF,
         "test_a_version_by_another_name_is_refused"),
    ),
    *_rows(
        "store", "ocrmaps/store/format/manifest.py", "tests/store/test_golden.py",
        ("a newer format is refused by its number", "and stated != FORMAT", "and False",
         "test_a_newer_format_is_refused_by_number"),
    ),
    *_rows(
        "store", "ocrmaps/store/format/tables.py", "tests/store/test_held_checks.py",
        ("a column has its length", "if data.nbytes != column.nbytes:", OFF,
         "test_a_column_that_is_cut_or_longer_is_refused"),
        ("a column has its digest", "if found != column.digest:", OFF,
         "test_a_column_with_one_changed_byte_is_refused"),
    ),
    *_rows(
        "store", "ocrmaps/store/format/shards.py", "tests/store/test_format.py",
        ("an index has its length", "if len(tail) != index_nbytes(rows_per_shard):", OFF,
         "test_an_index_that_is_cut_is_refused"),
        ("rows tile a shard file", "if (offsets[:-1] != present[:, 0]).any() or", "if False and",
         "test_rows_that_do_not_tile_their_file_are_refused"),
    ),
    *_rows(
        "store", "ocrmaps/store/format/codecs.py", "tests/store/test_format.py",
        ("a packed row states its lengths", "if stated != len(packed) or unpacked != out.nbytes:", OFF,
         "test_a_row_of_another_size_is_refused"),
        ("a packed row has a head", "if len(packed) < 16:", OFF, "test_a_cut_row_is_refused_before_it_is_decoded"),
    ),
    *_rows(
        "store", "ocrmaps/store/places/lock.py", "tests/store/test_held_checks.py",
        ("a lock is on a file that is there", "if os.path.samestat(os.fstat(handle), path.stat()):", "if True:",
         "test_a_lock_on_a_file_that_was_removed_meanwhile_is_no_lock"),
    ),
    *_rows(
        "store", "ocrmaps/store/places/lock.py", "tests/store/test_building.py",
        ("a version has one builder", "if not _patiently(handle, fcntl.LOCK_EX, path):", OFF,
         "test_a_second_builder_is_told_who_the_first_is"),
    ),
    *_rows(
        "store", "ocrmaps/store/places/posix.py", "tests/store/test_held_checks.py",
        ("a file of a store is written once", "os.O_WRONLY | os.O_CREAT | os.O_EXCL", "os.O_WRONLY | os.O_CREAT",
         "test_a_file_that_is_there_is_not_written_again"),
        ("a file has the length that was written", "if found != expected:\n            raise StoreError(f\"write",
         "if False:\n            raise StoreError(f\"write", "test_a_disk_that_loses_bytes_is_noticed"),
        ("a failed file leaves no part", "unfinished.unlink(missing_ok=True)\n        raise", "raise",
         "test_a_file_that_cannot_be_finished_leaves_no_part"),
        ("an unfinished file is not seen", "unfinished = temporary_name(path.parent, path.name)",
         "unfinished = path", "test_a_file_that_cannot_be_finished_leaves_no_part"),
    ),
    *_rows(
        "store", "ocrmaps/store/writing/tasks.py", "tests/store/test_held_checks.py",
        ("what was packed unpacks to the same", "if not np.array_equal(back, array):", OFF,
         "test_a_compressor_that_loses_a_value_is_found_before_anything_is_kept"),
        ("a shard is linked only with its digest", "if file_digest(data).hex() != digest:", OFF,
         "test_a_damaged_shard_of_an_older_version_is_not_linked"),
    ),
    *_rows(
        "store", "ocrmaps/store/writing/tasks.py", "tests/store/test_building.py",
        ("a picture is the one that was planned", "if picture_fingerprint(data).hex() != row.picture_sha:", OFF,
         "test_a_picture_that_changes_during_the_build_stops_it"),
        ("a row is copied only with its digest", "if row_digest(data).hex() != digest:", OFF,
         "test_damaged_rows_of_an_older_version_are_drawn_not_copied"),
    ),
    *_rows(
        "store", "ocrmaps/store/writing/build.py", "tests/store/test_held_checks.py",
        ("a worker's files are here, whole", "if found != nbytes:", OFF,
         "test_a_worker_whose_file_has_another_length_here_is_not_believed"),
        ("a receipt is believed with its files", "if len(data) != nbytes or file_digest(data).hex() != digest:", OFF,
         "test_a_receipt_whose_file_was_damaged_is_not_taken_over"),
        ("a commit finds every file", "if found.get(path) != nbytes:", OFF,
         "test_a_file_that_vanishes_before_the_commit_stops_it"),
        ("a failed row gets another chance", 'if any(row["how"] == "failed" for row in receipt["rows"]):', OFF,
         "test_a_row_that_failed_is_tried_again"),
    ),
    *_rows(
        "store", "ocrmaps/store/writing/journal.py", "tests/store/test_journal.py",
        ("a receipt has its digest", "if body and file_digest(body).hex().encode() == digest:", "if body:",
         "test_a_damaged_byte_costs_at_most_the_lines_it_touches"),
        ("a torn receipt is cut off", "if whole != len(data):", OFF,
         "test_a_torn_last_line_costs_only_itself_and_no_later_one"),
    ),
    *_rows(
        "store", "ocrmaps/store/writing/inputs.py", "tests/store/test_held_checks.py",
        ("a fresh time stamp is not relied on", "and settled(before, now) else None", "else None",
         "test_a_picture_edited_within_one_tick_of_the_clock_is_noticed"),
    ),
    *_rows(
        "store", "ocrmaps/store/writing/inputs.py", "tests/store/test_building.py",
        ("what is remembered of a picture is proven", "if proof == _proof(path, packed):", "if True:",
         "test_a_damaged_memory_entry_is_not_believed"),
    ),
    *_rows(
        "store", "ocrmaps/store/writing/plan.py", "tests/store/test_building.py",
        ("a sample has one name", "    _refuse_collisions(sources)\n", "",
         "test_two_pictures_with_one_id_are_refused_by_name"),
    ),
    *_rows(
        "store", "ocrmaps/store/upkeep/repair.py", "tests/store/test_held_checks.py",
        ("a shard drawn again is the one that was lost", "        if found != stated:", "        if False:",
         "test_a_shard_that_code_of_today_draws_differently_is_not_repaired"),
    ),
    *_rows(
        "store", "ocrmaps/store/upkeep/removal.py", "tests/store/test_held_checks.py",
        ("what was pinned meanwhile stays", "if item.name in pins(item.store):", OFF,
         "test_a_version_that_is_pinned_after_the_plan_stays"),
    ),
    *_rows(
        "store", "ocrmaps/store/upkeep/removal.py", "tests/store/test_sharing.py",
        ("what is read meanwhile stays", "            if not free:", "            if False:",
         "test_a_version_that_a_reader_opens_after_the_plan_stays"),
        ("what is pinned is not planned to go", "    if version in pinned:", "    if False:",
         "test_a_pinned_version_stays_until_it_is_unpinned"),
    ),
    *_rows(
        "store", "ocrmaps/store/upkeep/transfer.py", "tests/store/test_catalog.py",
        ("what is damaged is not packed", "    if not report.ok:\n        raise StoreCorrupt(\n            f\"{folder}",
         "    if False:\n        raise StoreCorrupt(\n            f\"{folder}", "test_a_damaged_version_is_not_packed"),
    ),
    *_rows(
        "pictures", "ocrmaps/pictures.py", "tests/test_pictures.py",
        ("pixels are bounded", "if width * height > max_pixels:", OFF,
         "test_a_lower_limit_of_pixels_is_kept_to_the_pixel"),
    ),
    *_rows(
        "annotations", "ocrmaps/annotations/gather.py", "tests/metrics/test_crowds.py",
        ("points of an outline are bounded", "(counts > 2 * MOST_POINTS).any() or ", "",
         "test_an_outline_of_more_points_is_no_outline"),
    ),
    *_rows(
        "metrics", "ocrmaps/metrics/clipping.py", "tests/metrics/test_crowds.py",
        ("pairs of outlines are bounded", '    _bear(pairs, MOST_PAIRS, "overlap")\n', "",
         "test_more_pairs_than_memory_has_room_for_are_counted_no_further"),
        ("corners that are compared are bounded", 'MOST_LOOKS, "of their corners are near"', '10**18, "of"',
         "test_corners_that_are_compared_are_counted"),
    ),
    *_rows(
        "settings", "ocrmaps/settings/files.py", "tests/trust/test_fuzz.py",
        ("settings are not nested without end", "    except RecursionError:\n        raise SpecError(",
         "    except ZeroDivisionError:\n        raise SpecError(",
         "test_settings_nested_without_end_are_refused"),
    ),
    *_rows(
        "trust", "ocrmaps/model/parts.py", "tests/model/test_detector.py",
        ("a name out of a file is not imported", "if is_own(name) and name not in trusted.names:", OFF,
         "test_ones_own_encoder_is_not_imported_unless_its_exact_name_is_trusted"),
    ),
    *_rows(
        "trust", "ocrmaps/trust.py", "tests/trust/test_named_parts.py",
        ("a trusted name can match", "            if not is_own(name)", "            if False",
         "test_what_can_never_match_is_refused"),
        ("a trusted digest can match", '            if not re.fullmatch("[0-9a-fA-F]{64}", digest)',
         "            if False",
         "test_what_can_never_match_is_refused"),
    ),
    *_rows(
        "trust", "ocrmaps/detect/load.py", "tests/trust/test_programs.py",
        ("a program runs by its digest", "if digest not in trusted.digests:", OFF,
         "test_a_program_runs_only_by_its_digest"),
        ("a file is what its name says", "if found is not None and found != kind:", OFF,
         "test_a_checkpoint_by_the_name_of_a_program_is_refused"),
        ("a digest does something", "if trusted.digests and kind not in PROGRAMS:", OFF,
         "test_a_digest_for_a_checkpoint_is_refused_because_it_would_do_nothing"),
    ),
    *_rows(
        "export", "ocrmaps/detect/load.py", "tests/trust/test_programs.py",
        ("weights of an ONNX file are in its folder", "    _check_places(path, data)\n", "", _OUTSIDE),
        ("weights have no absolute path", "not os.path.isabs(place) and ", "", _OUTSIDE),
        ("weights are not above", '".." not in Path(place).parts and ', "", _OUTSIDE),
        ("weights are no link out of the folder", " and target.is_relative_to(folder)", "", _OUTSIDE),
        ("weights are a file", "inside and target.is_file()", "inside", _OUTSIDE),
        ("weights are looked for in every part of a graph", "yield from _places(inner)", "pass",
         "test_weights_outside_are_found_wherever_in_the_model_they_are"),
    ),
    *_rows(
        "export", "ocrmaps/detect/load.py", "tests/predict/test_export.py",
        ("an export has this format", 'if content["format"] != FORMAT:', OFF,
         "test_a_description_of_another_format_is_refused"),
        ("an export has a description", "    if not text:", "    if False:",
         "test_exports_without_a_description_are_refused"),
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
