"""`xdecoder answer`: questions about images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from xdecoder.cli.command import Debug
from xdecoder.cli.options import DataOutput, FirstImage, ModelOptions, images_and_texts

if TYPE_CHECKING:
    from xdecoder.cli.over_images import ImageTask, Pixels, Results
    from xdecoder.cli.targets import Target
    from xdecoder.structures import Answer

EPILOG = (
    "xdecoder answer photo.jpg 'how many dogs are there?'\n\n"
    "xdecoder answer photos/ 'is there a dog?' 'what color is the car?' --json\n\n"
    "xdecoder answer one.jpg two.jpg -q 'is there a dog?' --top-k 3"
)


def answer(
    image: FirstImage,
    more: Annotated[
        list[str] | None,
        typer.Argument(
            help="The questions; with --question, further images.", metavar="QUESTION", show_default=False
        ),
    ] = None,
    question: Annotated[
        list[str] | None,
        typer.Option(
            "--question",
            "-q",
            help="A question; may be given several times. All arguments are then images.",
            show_default=False,
        ),
    ] = None,
    top_k: Annotated[
        int, typer.Option("--top-k", "-k", min=1, help="Likeliest answers told, with their probabilities.")
    ] = 1,
    *,
    output: DataOutput,
    model: ModelOptions,
    debug: Debug = False,
) -> int:
    """Answer questions about images.

    The first argument is an image, a folder or a glob, the others are questions.
    For several images give the questions with -q: all arguments are images then.
    Prints the answer; for several images or questions, after the file's name,
    the question and tabs.
    """
    sources, questions = images_and_texts(
        "answer", image, more, question, what="question", example="how many dogs are there?"
    )

    from xdecoder.cli.over_images import ImageTask, run_over_images

    def prepare(results: Results) -> ImageTask[list[Answer]]:
        predictor = model.load()
        predictor.answer([], questions, top_k=top_k)  # refuses a model that cannot answer, before any image

        def compute(images: list[Pixels]) -> list[list[Answer]]:
            encoded = predictor.encode(images, short_side=model.short_side)
            return predictor.answer(encoded, questions, top_k=top_k)

        def finish(target: Target, answers: list[Answer]) -> None:
            results.write(target, {"kind": "answers", "answers": [a.to_dict() for a in answers]})
            for found in answers:
                words = [found.question] if len(questions) > 1 else []
                results.print_line(target, *words, _in_words(found, top_k))

        return ImageTask(compute=compute, batch_size=predictor.batch_size, finish=finish, prints=True)

    return run_over_images(sources, output, prepare, debug=debug)


def _in_words(answer: Answer, top_k: int) -> str:
    if top_k == 1:
        return answer.text
    return ", ".join(f"{candidate.text} {candidate.score:.2f}" for candidate in answer.candidates)
