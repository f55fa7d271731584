# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The card of a weights file: all that is known about it, one YAML file each."""

import copy
import dataclasses
from pathlib import Path

import yaml

from galmorph.exceptions import WeightsError
from galmorph.files import write_atomically
from galmorph.weights import _checks

__all__ = ['WeightsCard']


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightsCard:
    """
    What a weights file is, what it wants, and how far to trust it.

    A card is the only place where the behaviour of weights is written down:
    the classifier reads the network, the decision tree and the treatment of
    the pixels from it. Cards are YAML files with the parameters below as
    their keys.

    Parameters
    ----------
    name : str
        The name by which the weights are asked for, usually the network and
        the data set, "dieleman.gz2".
    title, description : str
        A line and a paragraph about the weights.
    version : str
        Version of the weights.
    licence : str
        The licence of the weights.
    instrument : str
        Survey or camera whose images the weights were trained on, "SDSS".
    network : dict
        ``name``, as in `galmorph.networks.list_networks`, and ``options``
        for `galmorph.networks.create_network`.
    schema : str
        The decision tree or list of attributes, as in
        `galmorph.schemas.load_schema`.
    recipe : dict
        What happens to an image before the network sees it, as
        ``Recipe.to_dict`` returns it.
    file : str
        Name of the weights file, without a folder.
    size : int
        Its length in bytes.
    sha256 : str
        Its hash, 64 hexadecimal digits.
    url : str, optional
        Where to fetch the file if it is not on this machine.
    training : dict
        How the weights came about: data, number of galaxies, script.
    metrics : dict
        How well they do: ``split``, ``n_galaxy``, any number of scores
        {``value``, ``low``, ``high``, ``n``}, and ``questions``, a dict of
        {``rmse`` or ``value``, ``low``, ``high``, ``n``} by question.
    supported_questions : list of str
        The questions that the weights answer, or the attributes that they
        measure; all others come out masked.
    limits : list of str
        What the weights should not be used for.
    paper : dict
        The work to cite: ``bibtex`` and any of ``authors``, ``title``,
        ``journal``, ``year``, ``doi``, ``bibcode``. Empty where there is none.
    source : `~pathlib.Path`, optional
        The file that the card was read from. Not part of the card.

    Raises
    ------
    galmorph.exceptions.WeightsError
        If a value is of the wrong kind; the message names the key.

    Examples
    --------
    >>> from galmorph.weights import load_card
    >>> card = load_card('dieleman.gz2')
    >>> card.network['name'], card.schema, card.instrument
    ('dieleman', 'gz2', 'SDSS')
    """

    name: str
    title: str
    description: str
    version: str
    licence: str
    instrument: str
    network: dict
    schema: str
    recipe: dict
    file: str
    size: int
    sha256: str
    url: str | None = None
    training: dict
    metrics: dict
    supported_questions: list
    limits: list
    paper: dict
    source: Path | None = dataclasses.field(default=None, repr=False, compare=False)

    def __post_init__(self):
        if self.source is not None:
            object.__setattr__(self, 'source', Path(self.source))
        for key in _checks.KEYS:
            object.__setattr__(self, key, _checks.plain(self, key))
        _checks.check_values(self)
        self.network.setdefault('options', {})

    def __hash__(self):
        return hash((self.name, self.version, self.sha256))

    @property
    def unsupported_questions(self):
        """The questions of the schema that the weights do not answer, a list."""
        supported = set(self.supported_questions)
        return [name for name in _checks.question_names(self) if name not in supported]

    @classmethod
    def from_file(cls, path):
        """
        Read a card.

        Parameters
        ----------
        path : path-like
            The YAML file.

        Returns
        -------
        `WeightsCard`
            The card, with `source` set.

        Raises
        ------
        galmorph.exceptions.WeightsError
            If the file is missing or no YAML, lacks a key or has one that
            is not known, or if it names a network, a schema or a question
            that does not exist.

        Examples
        --------
        >>> from galmorph.weights import WeightsCard
        >>> WeightsCard.from_file('lost.yaml')
        Traceback (most recent call last):
            ...
        galmorph.exceptions.WeightsError: weights card 'lost.yaml': no such file
        """
        path = Path(path)
        try:
            content = yaml.safe_load(path.read_text(encoding='utf-8'))
        except FileNotFoundError as error:
            msg = f'weights card {str(path)!r}: no such file'
            raise WeightsError(msg) from error
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            msg = f'weights card {str(path)!r}: cannot be read as YAML: {error}'
            raise WeightsError(msg) from error
        card = cls.from_dict(content, source=path)
        card.check_names()
        return card

    @classmethod
    def from_dict(cls, content, *, source=None):
        """
        Make a card from a dict with its keys.

        Parameters
        ----------
        content : dict
            The parameters of the card, as `to_dict` returns them.
        source : path-like, optional
            The file that they are from, for messages and to find the
            weights file beside it.

        Returns
        -------
        `WeightsCard`
            The card.

        Raises
        ------
        galmorph.exceptions.WeightsError
            If a key is missing or unknown, or a value of the wrong kind.

        Examples
        --------
        >>> from galmorph.weights import WeightsCard, load_card
        >>> card = load_card('dieleman.gz2')
        >>> WeightsCard.from_dict(card.to_dict()) == card
        True
        """
        _checks.check_keys(content, source)
        return cls(**content, source=source)

    def to_dict(self):
        """
        Return the card as a dict of plain values.

        Returns
        -------
        dict
            A copy of all parameters but `source`, without those that are
            not set.

        Examples
        --------
        >>> from galmorph.weights import load_card
        >>> load_card('dieleman.gz2').to_dict()['schema']
        'gz2'
        """
        values = {key: copy.deepcopy(getattr(self, key)) for key in _checks.KEYS}
        return {key: value for key, value in values.items() if value is not None}

    def to_file(self, path):
        """
        Write the card to a YAML file, complete or not at all.

        Parameters
        ----------
        path : path-like
            The file; one that is there is replaced.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from galmorph.weights import WeightsCard, load_card
        >>> card = load_card('dieleman.gz2')
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     card.to_file(Path(folder) / 'copy.yaml')
        ...     WeightsCard.from_file(Path(folder) / 'copy.yaml') == card
        True
        """
        text = yaml.dump(
            self.to_dict(),
            Dumper=_CardDumper,
            sort_keys=False,
            allow_unicode=True,
            width=79,
        )
        write_atomically(path, text.encode('utf-8'))

    def check_names(self):
        """
        Check that the network, the schema and the questions exist.

        Raises
        ------
        galmorph.exceptions.WeightsError
            If one does not; the message names it and the nearest known one.

        Examples
        --------
        >>> from galmorph.weights import load_card
        >>> load_card('dieleman.gz2').check_names()
        """
        _checks.check_names(self)

    def citation(self):
        """
        Return what to cite in a paper that used the weights.

        Returns
        -------
        str
            BibTeX entries of galmorph and of the paper behind the weights.

        Examples
        --------
        >>> from galmorph.weights import load_card
        >>> print(load_card('dieleman.gz2').citation())  # doctest: +ELLIPSIS
        @software{galmorph,
        ...
        """
        from galmorph import __bibtex__

        entries = [__bibtex__, self.paper.get('bibtex', '')]
        return '\n\n'.join(entry.strip() for entry in entries if entry) + '\n'

    def summary(self):
        """
        Return the card as text to read, the output of ``galmorph weights show``.

        Returns
        -------
        str
            Lines of at most 88 characters, but for names and addresses that
            are longer.

        Examples
        --------
        >>> from galmorph.weights import load_card
        >>> print(load_card('dieleman.gz2').summary())  # doctest: +ELLIPSIS
        dieleman.gz2 ...
        """
        from galmorph.weights._summary import summarise

        return summarise(self)


class _CardDumper(yaml.SafeDumper):
    """Writes text of several lines as a block, for people to read."""


def _represent_text(dumper, text):
    style = '|' if '\n' in text else None
    return dumper.represent_scalar('tag:yaml.org,2002:str', text, style=style)


_CardDumper.add_representer(str, _represent_text)
