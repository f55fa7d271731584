# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Decision trees of questions and answers, and their probability algebra."""

import dataclasses

import numpy as np

from galmorph.exceptions import SchemaError

__all__ = ['Answer', 'DecisionTree', 'Question']


@dataclasses.dataclass(frozen=True)
class Answer:
    """
    One answer of a question.

    Parameters
    ----------
    name : str
        The answer in snake case, the second part of a column name.
    label : str
        The answer as the volunteers read it.
    id : str
        Task and answer number in the published catalogue, "t01 a01".
    column : str
        The name of the answer in the data set that defines it, for Galaxy
        Zoo 2 the column of the Kaggle table, "Class1.1".
    leads_to : str, optional
        The question that is asked next; `None` ends the path.

    Examples
    --------
    >>> from galmorph import load_schema
    >>> answer = load_schema('gz2').answers[0]
    >>> answer.label, answer.id, answer.column, answer.leads_to
    ('smooth', 't01 a01', 'Class1.1', 'rounded')
    """

    name: str
    label: str
    id: str
    column: str
    leads_to: str | None = None


@dataclasses.dataclass(frozen=True)
class Question:
    """
    One question of a decision tree.

    Parameters
    ----------
    name : str
        The question in snake case, the first part of a column name.
    task : str
        Its number in the published catalogue, "T01".
    text : str
        The question as the volunteers read it.
    parent : int or None
        Index of the answer, among all answers of the tree, without which
        the question is not asked; `None` where it always is.
    start : int
        Index of its first answer among all answers of the tree.
    answers : tuple of `Answer`
        Its answers.

    Examples
    --------
    >>> from galmorph import load_schema
    >>> question = load_schema('gz2').question('edgeon')
    >>> question.task, question.parent, (question.start, question.stop)
    ('T02', 1, (3, 5))
    """

    name: str
    task: str
    text: str
    parent: int | None
    start: int
    answers: tuple[Answer, ...]

    @property
    def stop(self):
        """One past the index of the last answer."""
        return self.start + len(self.answers)

    @property
    def slice(self):
        """The answers of this question among all answers of the tree."""
        return slice(self.start, self.stop)


class DecisionTree:
    """
    A tree of questions, and the way between its two kinds of probability.

    The *conditional* probability of an answer supposes that its question is
    asked; the answers of a question sum to 1. The *path* probability is the
    conditional one times the path probability of the parent answer, so the
    answers of a question sum to the value of its parent. The tables of
    Kaggle's Galaxy Challenge hold path probabilities ("cumulative"), and so
    do the predictions of `galmorph`.

    Parameters
    ----------
    name : str
        Short name, "gz2".
    title : str
        Full name, "Galaxy Zoo 2".
    questions : sequence of `Question`
        In the order of their answers; a parent comes before its children.
    reference : str, optional
        The paper that defines the tree.
    source : str, optional
        Whose columns the ``column`` of an answer names, "Kaggle".
    classes : sequence of dict of str to str, optional
        Partitions of the tree into exclusive classes, the finest first.
        Each maps a class name to the ``column`` of the answer whose path
        probability is that of the class.
    mappings : dict, optional
        How the answers follow from those of other trees, by the name of the
        tree, as `map_answers` reads it.

    Raises
    ------
    `~galmorph.exceptions.SchemaError`
        If the questions contradict each other.

    Examples
    --------
    >>> from galmorph import load_schema
    >>> tree = load_schema('gz2')
    >>> tree
    <DecisionTree 'gz2': 11 questions, 37 answers>
    >>> tree.columns[:2]
    ('smooth_or_features_smooth', 'smooth_or_features_features_or_disk')
    >>> tree.question('bar').text
    'Is there a sign of a bar feature through the centre of the galaxy?'
    """

    kind = 'tree'
    """Tells this from a list of attributes, whose ``kind`` is "attributes"."""

    def __init__(
        self,
        name,
        title,
        questions,
        *,
        reference='',
        source='',
        classes=(),
        mappings=None,
    ):
        self.name = name
        self.title = title
        self.questions = tuple(questions)
        self.reference = reference
        self.source = source
        self.classes = tuple(dict(partition) for partition in classes)
        self.mappings = dict(mappings or {})
        self._check()

    def __repr__(self):
        return (
            f'<DecisionTree {self.name!r}: {len(self.questions)} questions, '
            f'{self.n_answers} answers>'
        )

    def _check(self):
        end = 0
        for question in self.questions:
            if question.start != end or not question.answers:
                msg = f'question {question.name!r} does not follow the one before it'
                raise SchemaError(msg)
            if question.parent is not None and not 0 <= question.parent < end:
                msg = f'the parent of question {question.name!r} must come before it'
                raise SchemaError(msg)
            end = question.stop
        names = {question.name for question in self.questions}
        for values, what in (
            (names, 'question names'),
            (set(self.columns), 'columns'),
            (set(self.source_columns), 'source columns'),
        ):
            expected = len(self.questions) if values is names else end
            if len(values) != expected:
                msg = f'the {what} of {self.name!r} are not unique'
                raise SchemaError(msg)
        for answer in self.answers:
            if answer.leads_to is not None and answer.leads_to not in names:
                msg = f'answer {answer.column!r} leads to {answer.leads_to!r}: unknown'
                raise SchemaError(msg)
        for partition in self.classes:
            unknown = set(partition.values()) - set(self.source_columns)
            if unknown:
                msg = f'classes name the unknown answers {sorted(unknown)}'
                raise SchemaError(msg)

    @property
    def answers(self):
        """All answers, in the order of the probability arrays."""
        return tuple(answer for q in self.questions for answer in q.answers)

    @property
    def n_answers(self):
        """The number of answers."""
        return self.questions[-1].stop if self.questions else 0

    @property
    def names(self):
        """What may be asked for by name: the questions."""
        return tuple(question.name for question in self.questions)

    @property
    def counts(self):
        """How many answers each of `names` has."""
        return tuple(len(question.answers) for question in self.questions)

    @property
    def columns(self):
        """The names of the answers in a table, ``<question>_<answer>``."""
        return tuple(
            f'{question.name}_{answer.name}'
            for question in self.questions
            for answer in question.answers
        )

    @property
    def source_columns(self):
        """The names of the answers in the data set that defines the tree."""
        return tuple(answer.column for answer in self.answers)

    @property
    def structure(self):
        """
        The tree as plain numbers, which is all that a network needs of it.

        One ``(start, stop, parent)`` a question, with -1 for no parent.
        """
        return tuple(
            (q.start, q.stop, -1 if q.parent is None else q.parent)
            for q in self.questions
        )

    def question(self, name):
        """
        Find a question by its name.

        Parameters
        ----------
        name : str
            The name of the question.

        Returns
        -------
        question : `Question`
            The question.

        Raises
        ------
        `~galmorph.exceptions.SchemaError`
            If the tree has no such question.
        """
        for question in self.questions:
            if question.name == name:
                return question
        names = ', '.join(question.name for question in self.questions)
        msg = f'{self.name!r} has no question {name!r}; it has {names}'
        raise SchemaError(msg)

    def only(self, name):
        """
        Take one question out of the tree.

        Parameters
        ----------
        name : str
            A question that is always asked: its answers do not depend on those
            of others.

        Returns
        -------
        tree : `DecisionTree`
            The question by itself, named ``<tree>/<question>``.

        Raises
        ------
        `~galmorph.exceptions.SchemaError`
            If the tree has no such question, or it is not always asked.
        """
        question = self.question(name)
        if question.parent is not None:
            roots = ', '.join(q.name for q in self.questions if q.parent is None)
            msg = (
                f'question {name!r} of {self.name!r} is not asked of every galaxy, '
                f'and makes no sense by itself; choose from {roots}'
            )
            raise SchemaError(msg)
        answers = tuple(
            dataclasses.replace(answer, leads_to=None) for answer in question.answers
        )
        known = {answer.column for answer in answers}
        return DecisionTree(
            f'{self.name}/{name}',
            f'{self.title}, {name.replace("_", " ")}',
            [dataclasses.replace(question, start=0, answers=answers)],
            reference=self.reference,
            source=self.source,
            classes=[part for part in self.classes if set(part.values()) <= known],
        )

    def to_path(self, conditional):
        """
        Multiply conditional probabilities through the tree.

        Parameters
        ----------
        conditional : array-like, shape (..., n_answers)
            Conditional probabilities. NaN, the value of a question that
            was never asked, counts as 0 where its parent is 0.

        Returns
        -------
        path : `~numpy.ndarray`, shape (..., n_answers)
            Path probabilities.
        """
        path = self._as_array(conditional, 'conditional').copy()
        for question in self.questions:
            if question.parent is not None:
                parent = path[..., question.parent, None]
                path[..., question.slice] = np.where(
                    parent == 0, 0, path[..., question.slice] * parent
                )
        return path

    def to_conditional(self, path):
        """
        Divide path probabilities by those of the parent answers.

        Parameters
        ----------
        path : array-like, shape (..., n_answers)
            Path probabilities.

        Returns
        -------
        conditional : `~numpy.ndarray`, shape (..., n_answers)
            Conditional probabilities: NaN where the parent is 0, because
            then the question is never asked.
        """
        path = self._as_array(path, 'path')
        with np.errstate(invalid='ignore', divide='ignore'):
            parents = self.relevance(path)
            counts = [len(question.answers) for question in self.questions]
            weights = np.repeat(parents, counts, axis=-1)
            return np.where(weights > 0, path / weights, np.nan)

    def relevance(self, path):
        """
        Tell how probable it is that each question is asked.

        Parameters
        ----------
        path : array-like, shape (..., n_answers)
            Path probabilities.

        Returns
        -------
        relevance : `~numpy.ndarray`, shape (..., n_questions)
            The path probability of the parent answer; 1 for a root.
        """
        path = self._as_array(path, 'path')
        relevance = np.ones((*path.shape[:-1], len(self.questions)), path.dtype)
        for index, question in enumerate(self.questions):
            if question.parent is not None:
                relevance[..., index] = path[..., question.parent]
        return relevance

    def violation(self, path):
        """
        Measure how far probabilities are from the constraints of the tree.

        Parameters
        ----------
        path : array-like, shape (..., n_answers)
            Path probabilities.

        Returns
        -------
        violation : `~numpy.ndarray`, shape (...)
            The largest difference, over the questions, between the sum of
            the answers and the parent (1 for a root).
        """
        path = self._as_array(path, 'path')
        sums = np.stack([path[..., q.slice].sum(-1) for q in self.questions], -1)
        return np.abs(sums - self.relevance(path)).max(-1)

    def class_partition(self, supported=None):
        """
        Choose the finest set of exclusive classes that can be told apart.

        Parameters
        ----------
        supported : sequence of bool, optional
            For each question, whether its answers are known. All are by
            default.

        Returns
        -------
        names : tuple of str
            The classes; empty where no partition can be made.
        indices : tuple of int
            For each class, the answer whose path probability it has.
        """
        if supported is None:
            supported = [True] * len(self.questions)
        known = [
            answer.column
            for question, is_supported in zip(self.questions, supported, strict=True)
            for answer in question.answers
            if is_supported
        ]
        for partition in self.classes:
            if set(partition.values()) <= set(known):
                index = {name: i for i, name in enumerate(self.source_columns)}
                return tuple(partition), tuple(index[c] for c in partition.values())
        return (), ()

    def to_dict(self):
        """
        Describe the tree in types that JSON knows.

        Returns
        -------
        description : dict
            What `from_dict` takes.
        """
        questions = []
        for question in self.questions:
            parent = question.parent
            questions.append(
                {
                    'name': question.name,
                    'task': question.task,
                    'parent': None if parent is None else self.source_columns[parent],
                    'text': question.text,
                    'answers': [dataclasses.asdict(a) for a in question.answers],
                }
            )
        return {
            'name': self.name,
            'title': self.title,
            'reference': self.reference,
            'source': self.source,
            'questions': questions,
            'classes': [dict(partition) for partition in self.classes],
            **({'mappings': dict(self.mappings)} if self.mappings else {}),
        }

    @classmethod
    def from_dict(cls, description):
        """
        Build a tree from its description.

        Parameters
        ----------
        description : dict
            As `to_dict` gives it. The ``parent`` of a question is the
            ``column`` of an answer.

        Returns
        -------
        tree : `DecisionTree`
            The tree.

        Raises
        ------
        `~galmorph.exceptions.SchemaError`
            If the description lacks a key or contradicts itself.
        """
        try:
            questions, index, start = [], {None: None}, 0
            for entry in description['questions']:
                if entry['parent'] not in index:
                    msg = (
                        f'the parent {entry["parent"]!r} of question '
                        f'{entry["name"]!r} must come before it'
                    )
                    raise SchemaError(msg)
                answers = tuple(Answer(**answer) for answer in entry['answers'])
                questions.append(
                    Question(
                        name=entry['name'],
                        task=entry['task'],
                        text=entry['text'],
                        parent=index[entry['parent']],
                        start=start,
                        answers=answers,
                    )
                )
                for answer in answers:
                    index[answer.column] = start
                    start += 1
            return cls(
                description['name'],
                description['title'],
                questions,
                reference=description.get('reference', ''),
                source=description.get('source', ''),
                classes=description.get('classes', ()),
                mappings=description.get('mappings'),
            )
        except (KeyError, TypeError) as error:
            msg = f'the description of a decision tree is not valid: {error}'
            raise SchemaError(msg) from error

    def _as_array(self, values, name):
        values = np.asarray(values)
        if values.dtype.kind != 'f':
            values = values.astype(float)
        if values.shape[-1:] != (self.n_answers,):
            msg = (
                f'{name} must have {self.n_answers} values on its last axis, one '
                f'an answer of {self.name!r}; its shape is {values.shape}'
            )
            raise ValueError(msg)
        return values
