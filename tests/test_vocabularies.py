import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldens import Golden
from xdecoder.picturebook import STUFF_CATEGORIES, THING_CATEGORIES
from xdecoder.vocabularies import (
    BUILT_IN,
    LONGEST_NAME,
    Vocabulary,
    built_in,
    clean_name,
    known_classes,
    parse_vocabulary,
    prompts,
    training_prompt,
)

words = st.text(st.characters(categories=["L"]), min_size=1, max_size=12).filter(
    lambda w: w.casefold() != "background"
)


def things_of(vocabulary: Vocabulary) -> set[str]:
    return {vocabulary.classes[i] for i in vocabulary.things}


def test_prompts_are_the_published_programs(golden_a: Golden):
    names, expected = golden_a.meta["inputs"]["b"]["class_names"], golden_a.meta["outputs"]["b"]["eval_texts"]
    assert [list(prompts(name)) for name in names] == expected


def test_training_prompts_are_the_published_programs(golden_a: Golden):
    names = golden_a.meta["inputs"]["b"]["class_names"]
    for name, expected in zip(names, golden_a.meta["outputs"]["b"]["train_texts"], strict=True):
        assert expected in {training_prompt(name, template) for template in range(81)}


def test_training_prompts_of_coco_are_the_published_programs(golden_a: Golden):
    texts = golden_a.meta["outputs"]["h"]["train_class_texts"]
    assert len(texts) == 134
    for name, text in zip([*built_in("coco").classes, "background"], texts, strict=True):
        assert text in {training_prompt(name, template) for template in range(81)}


def test_a_plus_becomes_a_space_in_training_only():
    assert training_prompt("black+white cat", 0) == "black white cat."
    assert prompts("black+white cat")[0] == "black+white cat."


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("sky-other-merged", "sky"),
        ("curtain-stuff", "curtain"),
        ("floor-wood", "floor-wood"),
        ("wall-other", "wall"),
        ("traffic light", "traffic light"),
    ],
)
def test_clean_name_takes_out_what_datasets_append(raw: str, clean: str):
    assert clean_name(raw) == clean


@pytest.mark.parametrize(
    ("name", "classes", "things"),
    [
        ("coco", 133, 80),
        ("ade20k", 150, 100),
        ("ade20k-847", 847, None),
        ("cityscapes", 19, 8),
        ("scannet", 20, 18),
        ("scannet-40", 40, None),
        ("sun", 37, None),
        ("bdd", 19, None),
        ("bdd-panoptic", 40, 10),
        ("voc", 20, 20),
        ("picturebook", 41, 30),
    ],
)
def test_every_built_in_name_gives_its_list(name: str, classes: int, things: int | None):
    vocabulary = parse_vocabulary(name)
    assert (vocabulary.name, len(vocabulary)) == (name, classes)
    assert things is None or len(vocabulary.things) == things
    assert vocabulary.things | vocabulary.stuff == set(range(classes))
    assert not vocabulary.things & vocabulary.stuff


def test_all_built_in_names_are_tested_above():
    assert len(BUILT_IN) == 11


def test_the_drawn_world_has_a_list_of_its_own():
    vocabulary = built_in("picturebook")
    assert vocabulary.classes == (*THING_CATEGORIES, *STUFF_CATEGORIES)
    assert vocabulary.things == set(range(len(THING_CATEGORIES)))


def test_built_in_lists_keep_raw_names():
    assert "sky-other-merged" in built_in("coco").classes


def test_lists_without_kinds_take_them_from_the_others():
    assert {"wall", "floor"}.isdisjoint(things_of(built_in("sun")))
    assert {"bed", "chair"} <= things_of(built_in("sun"))
    assert {"road", "sky"}.isdisjoint(things_of(built_in("bdd")))


def test_an_unknown_built_in_name_lists_those_there_are():
    with pytest.raises(ValueError, match="no built-in vocabulary 'imagenet'; there are coco, ade20k"):
        built_in("imagenet")


def test_known_classes_start_with_coco_and_have_no_duplicates():
    known = known_classes()
    assert known[:2] == ("person", "bicycle")
    assert len(known) == len(set(known))


def test_a_text_with_commas_is_a_list_of_names():
    vocabulary = parse_vocabulary("person,  traffic   light , sky")
    assert vocabulary.classes == ("person", "traffic light", "sky")
    assert things_of(vocabulary) == {"person", "traffic light"}
    assert vocabulary.is_thing(1)
    assert not vocabulary.is_thing(2)


def test_one_comma_may_end_a_text():
    assert parse_vocabulary("sun,").classes == ("sun",)


def test_a_single_name_is_a_vocabulary_of_one():
    assert parse_vocabulary("dog").classes == ("dog",)


def test_a_misspelt_built_in_name_is_not_taken_for_a_class():
    with pytest.raises(ValueError, match=r"did you mean 'cityscapes'.*write a comma after it: 'cityscape,'"):
        parse_vocabulary("cityscape")
    assert parse_vocabulary("cityscape,").classes == ("cityscape",)


def test_a_sequence_may_hold_names_with_commas():
    assert parse_vocabulary(["hot dog, grilled", "bun"]).classes == ("hot dog, grilled", "bun")


def test_a_class_in_no_list_is_a_thing():
    assert things_of(parse_vocabulary("gizmo, tree, Sky-Other")) == {"gizmo"}


def test_the_user_decides_what_is_a_thing():
    vocabulary = parse_vocabulary("person, tree, sky", things="tree", stuff=["Person"])
    assert things_of(vocabulary) == {"tree"}


def test_the_user_decides_for_built_in_lists_too():
    vocabulary = parse_vocabulary("coco", things="sky")
    assert things_of(vocabulary) - things_of(built_in("coco")) == {"sky-other-merged"}


def test_things_and_stuff_alone_are_a_vocabulary():
    vocabulary = parse_vocabulary(things="cup, tree", stuff="table")
    assert vocabulary.classes == ("cup", "tree", "table")
    assert things_of(vocabulary) == {"cup", "tree"}


def test_a_vocabulary_is_taken_as_it_is():
    vocabulary = built_in("ade20k-847")
    assert parse_vocabulary(vocabulary) is vocabulary


def test_a_text_file_has_one_class_a_line(tmp_path: Path):
    file = tmp_path / "kitchen.txt"
    file.write_text(
        "\ufeff# what we want\nhot dog, grilled\n\nstuff: cup\nthing:tree\nsky\n", encoding="utf-8"
    )
    vocabulary = parse_vocabulary(str(file))
    assert vocabulary.name == "kitchen"
    assert vocabulary.classes == ("hot dog, grilled", "cup", "tree", "sky")
    assert things_of(vocabulary) == {"hot dog, grilled", "tree"}


def test_a_text_file_may_have_sections(tmp_path: Path):
    file = tmp_path / "two.txt"
    file.write_text("Things:\ntree\n  sky\n# the rest\nstuff:\nperson\nthing: car\ndog\n", encoding="utf-8")
    vocabulary = parse_vocabulary(file)
    assert vocabulary.classes == ("tree", "sky", "person", "car", "dog")
    assert things_of(vocabulary) == {"tree", "sky", "car"}


@pytest.mark.parametrize(
    ("data", "things"),
    [
        (["cup", "sky"], {"cup"}),
        ({"classes": ["cup", "sky"]}, {"cup"}),
        ({"classes": ["cup", "sky"], "things": [1]}, {"sky"}),
        ({"classes": ["cup", "sky"], "stuff": ["cup"]}, {"sky"}),
        ({"classes": ["cup", "sky"], "things": [], "stuff": [0]}, set()),
        ([{"id": 7, "name": "cup", "isthing": 0}, {"id": 9, "name": "sky", "isthing": 1}], {"sky"}),
        ({"categories": [{"name": "cup"}, {"name": "sky", "isthing": 0}]}, {"cup"}),
    ],
)
def test_a_json_file_is_a_list_or_an_object(tmp_path: Path, data: object, things: set[str]):
    file = tmp_path / "v.json"
    file.write_text(json.dumps(data))
    vocabulary = parse_vocabulary(str(file))
    assert vocabulary.classes == ("cup", "sky")
    assert things_of(vocabulary) == things


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", r"v\.json: expected a list of names, \{\"classes\""),
        ('"cup"', "expected a list of names"),
        ('{"names": ["a"]}', "expected a list of names"),
        ("[", r"v\.json: Expecting value"),
        ("[]", "the vocabulary is empty"),
        ('{"classes": ["cup"], "things": [4]}', "category 4 is not one of the 1 classes, counted from 0"),
        ('{"classes": ["cup"], "things": ["mug"]}', "'mug' has a kind but is not among the classes"),
    ],
)
def test_a_malformed_json_file_says_what_was_expected(tmp_path: Path, text: str, message: str):
    file = tmp_path / "v.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        parse_vocabulary(file)


def test_a_file_that_is_not_text_says_which(tmp_path: Path):
    file = tmp_path / "v.txt"
    file.write_bytes(b"\xff\xfe\x00caf\xe9")
    with pytest.raises(ValueError, match=r"v\.txt: 'utf-8' codec can't decode"):
        parse_vocabulary(file)


def test_a_missing_file_is_not_taken_for_a_class():
    with pytest.raises(FileNotFoundError, match=r"no vocabulary file nowhere\.txt"):
        parse_vocabulary("nowhere.txt")


def test_a_file_of_another_kind_is_refused(tmp_path: Path):
    file = tmp_path / "v.csv"
    file.write_text("a")
    with pytest.raises(ValueError, match=r"must end in \.txt or \.json"):
        parse_vocabulary(file)


@pytest.mark.parametrize("spec", ["", " ", [], ()])
def test_an_empty_vocabulary_is_refused(spec: str | list[str]):
    with pytest.raises(ValueError, match="the vocabulary is empty; name at least one class"):
        parse_vocabulary(spec)


def test_nothing_at_all_is_an_empty_vocabulary():
    with pytest.raises(ValueError, match="the vocabulary is empty"):
        parse_vocabulary()


@pytest.mark.parametrize("spec", ["a,,b", ",", ["a", " "], ["a", "-other"]])
def test_an_empty_name_is_refused(spec: str | list[str]):
    with pytest.raises(ValueError, match=r"class name '.*' is empty; take it out"):
        parse_vocabulary(spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("dog, cat, dog", "'dog' is there twice; keep one of them"),
        ("Dog, cat, dog ", "'Dog' and 'dog' are the same class"),
        ("sky-other-merged, sky", "'sky-other-merged' and 'sky' are the same class"),
        (["traffic light", "traffic  light"], "'traffic light' is there twice"),
    ],
)
def test_duplicates_are_refused(spec: str | list[str], message: str):
    with pytest.raises(ValueError, match=message):
        parse_vocabulary(spec)


@pytest.mark.parametrize("spec", ["person, background", ["Background"]])
def test_background_is_refused(spec: str | list[str]):
    with pytest.raises(ValueError, match="'background' is the model's own no-object class"):
        parse_vocabulary(spec)


def test_an_over_long_name_is_refused():
    assert parse_vocabulary(["x" * LONGEST_NAME])
    with pytest.raises(ValueError, match=r"has 201 characters, over the limit of 200; use a few words"):
        parse_vocabulary(["x" * (LONGEST_NAME + 1)])


def test_a_kind_for_a_class_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="'mug' in things or stuff, but not among the classes"):
        parse_vocabulary("cup, plate", things="mug")


def test_a_class_that_is_both_thing_and_stuff_is_refused():
    with pytest.raises(ValueError, match="'CUP' is among both things and stuff"):
        parse_vocabulary("cup, plate", things="cup", stuff="CUP")


def test_things_outside_the_classes_are_refused():
    with pytest.raises(ValueError, match=r"things \[2\] are no categories: 2 classes have categories 0 to 1"):
        Vocabulary(classes=("a", "b"), things=frozenset({0, 2}))


@given(st.lists(words, min_size=1, max_size=6, unique_by=str.casefold))
def test_a_list_and_its_text_are_the_same_vocabulary(names: list[str]):
    assert parse_vocabulary(names) == parse_vocabulary(", ".join(names) + ",")
