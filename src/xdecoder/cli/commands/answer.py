"""`xdecoder answer`: questions about images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from xdecoder.cli.console import report_errors
from xdecoder.cli.options import DataOutput, ModelOptions
from xdecoder.cli.texts import FirstImage, images_and_texts

if TYPE_CHECKING:
    from xdecoder.cli.over_images import Pixels
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
    data_output: DataOutput,
    options: ModelOptions,
) -> None:
    """Answer questions about images.

    The first argument is an image, a folder or a glob, the others are questions.
    For several images give the questions with -q: all arguments are images then.
    Prints the answer; for several images or questions, after the file's name,
    the question and tabs.
    """
    with report_errors(debug=options.debug):
        sources, questions = images_and_texts(
            "answer", image, more, question, what="question", example="how many dogs are there?"
        )

        from xdecoder.cli.over_images import Output, run
        from xdecoder.cli.targets import find_targets

        output = Output(
            folder=data_output.out,
            as_json=data_output.as_json,
            skip_existing=data_output.skip_existing,
            pictures=False,
        )
        targets = find_targets(sources, data_output.out)
        predictor = options.load()
        predictor.answer([], questions, top_k=top_k)  # refuses a model that cannot answer, before any image

        def work(pictures: list[Pixels]) -> list[list[Answer]]:
            encoded = predictor.encode(pictures, short_side=options.short_side)
            return predictor.answer(encoded, questions, top_k=top_k)

        def finish(target: Target, answers: list[Answer]) -> None:
            output.write(target, {"kind": "answers", "answers": [a.to_dict() for a in answers]}, None)
            if data_output.as_json:
                return
            for found in answers:
                words = [str(target.path)] if len(targets) > 1 else []
                words += [found.question] if len(questions) > 1 else []
                typer.echo("\t".join([*words, _in_words(found, top_k)]))

        code = run(
            targets,
            output,
            batch_size=predictor.batch_size,
            verb=work,
            finish=finish,
            prints=True,
            debug=options.debug,
        )
        raise typer.Exit(code)


def _in_words(answer: Answer, top_k: int) -> str:
    if top_k == 1:
        return answer.text
    return ", ".join(f"{candidate.text} {candidate.score:.2f}" for candidate in answer.candidates)
