# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What probabilities say of a galaxy: its best path, and how sure it is."""

from collections import Counter

import numpy as np

__all__ = ['choose_answers', 'normalised_entropy', 'path_names']


def choose_answers(schema, path, *, supported=None, through=None):
    """
    Choose one answer of each question on the best path.

    Parameters
    ----------
    schema : `~galmorph.schemas.DecisionTree`
        The questions and answers.
    path : `~numpy.ndarray`, shape (n_galaxy, n_answers)
        Path probabilities.
    supported : array-like of bool, shape (n_question,), optional
        Whether the answers of a question are known. All are by default.
    through : array-like of int, shape (n_galaxy,), optional
        For each row, an answer that the path must reach. By default each
        question gets its most probable answer.

    Returns
    -------
    chosen : `~numpy.ndarray` of int, shape (n_galaxy, n_question)
        Index of the answer among all answers of the tree; -1 where the
        question is not asked or not supported. A question without a parent is
        not asked after an answer to the first one that never leads to it (a
        star).

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import load_schema
    >>> from galmorph.predictions.decisions import choose_answers
    >>> tree = load_schema('gz2')
    >>> path = np.zeros((1, 37))
    >>> path[0, [0, 14, 15]] = 1
    >>> choose_answers(tree, path).tolist()
    [[0, -1, -1, -1, -1, 14, 15, -1, -1, -1, -1]]
    """
    questions = schema.questions
    if supported is None:
        supported = np.ones(len(questions), bool)
    home = {
        index: i
        for i, question in enumerate(questions)
        for index in range(question.start, question.stop)
    }
    chosen = np.stack(
        [q.start + path[:, q.start : q.stop].argmax(1) for q in questions], axis=1
    )
    for target in [] if through is None else np.unique(through).tolist():
        rows = np.asarray(through) == target
        answer = target
        while answer is not None:
            chosen[rows, home[answer]] = answer
            answer = questions[home[answer]].parent
    reached = _reached_by_first(schema)[chosen[:, 0]]
    for i, question in enumerate(questions):
        if question.parent is None:
            skipped = ~reached[:, i]
        else:
            skipped = chosen[:, home[question.parent]] != question.parent
        chosen[skipped | ~np.asarray(supported)[i], i] = -1
    return chosen


def _reached_by_first(schema):
    """Whether each answer of the first question leads to each question at last."""
    index = {question.name: i for i, question in enumerate(schema.questions)}
    first = schema.questions[0].answers
    reached = np.zeros((len(first), len(index)), bool)
    # A tree that does not say what comes next asks everything.
    reached[:, 0] = True
    if not any(answer.leads_to for answer in first):
        reached[:] = True
    for row, answer in zip(reached, first, strict=True):
        ahead = [answer.leads_to]
        while ahead:
            name = ahead.pop()
            if name is not None and not row[index[name]]:
                row[index[name]] = True
                ahead += [a.leads_to for a in schema.questions[index[name]].answers]
    return reached


def path_names(schema, chosen):
    """
    Name paths through a decision tree.

    Parameters
    ----------
    schema : `~galmorph.schemas.DecisionTree`
        The questions and answers.
    chosen : `~numpy.ndarray` of int, shape (n_galaxy, n_question)
        As `choose_answers` gives it.

    Returns
    -------
    names : `~numpy.ndarray` of str, shape (n_galaxy,)
        The answers in the order in which they are asked, with ' > ' between
        them. An answer that does not speak for itself, because the tree has
        it more than once or it is a number or 'none', stands behind its question.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import load_schema
    >>> from galmorph.predictions.decisions import path_names
    >>> chosen = np.array([[1, 4, 6, 7, 11, 14, -1, -1, -1, 28, 32]])
    >>> print(path_names(load_schema('gz2'), chosen)[0])
    features_or_disk > edgeon no > no_bar > spiral > tight > arms_number 2
    > obvious > odd no
    """
    order = _asking_order(schema)
    counts = Counter(a.name for q in schema.questions for a in q.answers)
    labels = {
        question.start + i: answer.name
        if counts[answer.name] == 1
        and answer.name.isidentifier()
        and answer.name != 'none'
        else f'{question.name} {answer.name}'
        for question in schema.questions
        for i, answer in enumerate(question.answers)
    }
    first, inverse = _distinct_rows(schema, chosen)
    names = [
        ' > '.join(labels[answer] for answer in path if answer >= 0)
        for path in chosen[first][:, order].tolist()
    ]
    return np.array(names, dtype=None if names else 'U1')[inverse]


def _distinct_rows(schema, chosen):
    """Return the first of each kind of row, and of which kind each row is."""
    # one integer a row: numpy's own unique rows take ten times as long
    code, n_codes = np.zeros(len(chosen), np.int64), 1
    for i, question in enumerate(schema.questions):
        n_choices = len(question.answers) + 1
        if n_codes * n_choices > np.iinfo(np.int64).max:
            code = np.unique(code, return_inverse=True)[1]
            n_codes = len(chosen)
        code = code * n_choices + np.maximum(chosen[:, i] - question.start + 1, 0)
        n_codes *= n_choices
    return np.unique(code, return_index=True, return_inverse=True)[1:]


def _asking_order(schema):
    """Order questions so that each is followed by those that depend on it."""
    order = []

    def visit(parents):
        for i, question in enumerate(schema.questions):
            if question.parent in parents:
                order.append(i)
                visit(set(range(question.start, question.stop)))

    visit({None})
    return order


def normalised_entropy(schema, path):
    """
    Measure the indecision about each question.

    Parameters
    ----------
    schema : `~galmorph.schemas.DecisionTree`
        The questions and answers.
    path : `~numpy.ndarray`, shape (n_galaxy, n_answers)
        Path probabilities.

    Returns
    -------
    entropy : `~numpy.ndarray`, shape (n_galaxy, n_question)
        The Shannon entropy of the answers, given that the question is asked,
        divided by that of an even choice: 0 is certain, 1 undecided. NaN
        where no answer has a probability above 0.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import load_schema
    >>> from galmorph.predictions.decisions import normalised_entropy
    >>> path = np.zeros((1, 37))
    >>> path[0, :5] = [0.2, 0.8, 0, 0.4, 0.4]
    >>> normalised_entropy(load_schema('gz2'), path)[0, :3].round(3)
    array([0.455, 1.   ,   nan])
    """
    entropy = np.full((len(path), len(schema.questions)), np.nan, path.dtype)
    for i, question in enumerate(schema.questions):
        answers = path[:, question.start : question.stop]
        total = answers.sum(1, keepdims=True)
        share = np.divide(
            answers, total, out=np.full_like(answers, np.nan), where=total > 0
        )
        logs = np.log(share, out=np.zeros_like(share), where=share > 0)
        # one answer leaves nothing to decide
        even = np.log(max(len(question.answers), 2))
        entropy[:, i] = np.clip((share * -logs).sum(1) / even, 0, 1)
    return entropy
