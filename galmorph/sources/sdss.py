# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""`SDSS`: calibrated frames of the Sloan Digital Sky Survey."""

import bz2
import dataclasses
import math
import threading
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.table import Table
from astropy.utils.data import download_file
from astropy.wcs import WCS
from scipy.ndimage import affine_transform

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images import GalaxyImage
from galmorph.images.celestial import shift_wcs, wcs_from_header
from galmorph.sources._sdss_catalogue import FRAME_RADII, USER_AGENT, CataloguedSource

__all__ = ['SDSS']

# The survey scans great circles, so north is anywhere in a frame: the square of
# Galaxy Zoo 2 fits in at every angle.
_SIDE = FRAME_RADII * math.sqrt(2)

# Enough sky for small galaxies; and no more pixels than two frames have.
_SIDES = 20 * u.arcsec, 1200 * u.arcsec

# A decoded frame takes 12 MB.
_KEPT_FRAMES = 12

# Pixels beyond a section whose absence the spline no longer feels.
_MARGIN = 12


@dataclasses.dataclass(frozen=True)
class _Frame:
    """A field of the survey in one band, in nanomaggies."""

    data: np.ndarray
    header: fits.Header
    wcs: WCS


class SDSS(CataloguedSource):
    """
    Frames of the SDSS, calibrated in nanomaggies and free of the sky.

    Each target is looked up in the photometric catalogue, for the nearest
    galaxy among the primary detections (mode 1, type 3) within the match
    radius. The match counts as ambiguous unless the next galaxy is twice as far
    and another half arcsecond away. It tells the frames, and the size of the
    galaxy, petroR90_r. The frames [1]_ come through `astroquery.sdss`, one
    download for all targets in them.

    The bands of a field are displaced by some pixels. They are brought to the
    grid of r, whose pixels stay as they are, by one cubic spline with the
    flux of a pixel following its area. Over a galaxy the way from one tangent
    plane to the other is affine to 1e-5 pixels.

    Parameters
    ----------
    data_release : int, optional
        The data release, by default the last one of SDSS-IV.
    match_radius : `~astropy.units.Quantity`, optional
        How far from the target its galaxy may be, up to 3 arcmin.
    **options
        As in `~galmorph.sources.ImageSource`.

    Notes
    -----
    The side of the images is by default that of the pictures of Galaxy Zoo 2
    [2]_, 8.48 petroR90_r, times the square root of 2: north is anywhere in a
    frame, and the square fits in at every angle. Near the edge of a frame
    images are smaller. The servers are ``skyserver_baseurl`` and
    ``sas_baseurl`` of ``astroquery.sdss.conf``.

    References
    ----------
    .. [1] https://data.sdss.org/datamodel/files/BOSS_PHOTOOBJ/frames/RERUN/\
RUN/CAMCOL/frame.html
    .. [2] Willett et al. 2013, MNRAS 435, 2835.

    Examples
    --------
    >>> import tempfile
    >>> from astropy import units as u
    >>> from astropy.coordinates import SkyCoord
    >>> from galmorph.sources import SDSS
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sdss = SDSS(cache=folder, offline=True)
    ...     (error,) = sdss.fetch(SkyCoord([184.847], [5.794], unit='deg'), bands='r')
    >>> error.flag.name
    'NOT_CACHED'
    """

    name = 'sdss'
    title = 'Sloan Digital Sky Survey, frames'
    bands = ('u', 'g', 'r', 'i', 'z')
    default_bands = ('g', 'r', 'i')

    def __init__(self, *, data_release=17, match_radius=5 * u.arcsec, **options):
        super().__init__(
            data_release=data_release, match_radius=match_radius, **options
        )
        # wcslib writes into a WCS while it uses it.
        self._wcs_lock = threading.Lock()

    def group(self, target):
        """Tell the field, which is run, camera column and number."""
        row = target.meta['catalogue']
        return tuple(row[name] for name in ('rerun', 'run', 'camcol', 'field'))

    def fetch_one(self, target):
        """
        Cut a target out of the frames of its field.

        Parameters
        ----------
        target : `~galmorph.sources.Target`
            As `~galmorph.sources.ImageSource.plan` returned it.

        Returns
        -------
        image : `~galmorph.GalaxyImage`
            The image in nanomaggies, with the row of the catalogue in
            ``meta['catalogue']``.

        Raises
        ------
        `~galmorph.exceptions.ImageError`
            If frames are missing, damaged or do not come.
        """
        field, bands = self.group(target), target.bands
        # Targets of one field that are waited for together ask for different
        # bands first, and then find those that others have asked for.
        first = int(target.meta['catalogue']['objid']) % len(bands)
        frames = self._frames(field, bands[first:] + bands[:first])
        reference = 'r' if 'r' in bands else bands[0]
        frame = frames[reference]
        with self._wcs_lock:
            x, y = map(float, frame.wcs.world_to_pixel_values(target.ra, target.dec))
            maps = {
                band: _pixel_map(frame, other, x, y) for band, other in frames.items()
            }
        half = _side(target).to_value(u.deg) / _scale(frame.wcs) / 2
        box = _common_box(frames, maps, (x, y), half)
        x_start, x_stop, y_start, y_stop = box
        if not (x_start <= x + 0.5 <= x_stop and y_start <= y + 0.5 <= y_stop):
            msg = f'the target lies outside its frame {_named(field, reference)}'
            raise ImageError(msg, flag=MorphologyFlag.OUTSIDE_IMAGE)
        planes = [
            frame.data[y_start:y_stop, x_start:x_stop]
            if band == reference
            else _resampled(frames[band].data, maps[band], box)
            for band in bands
        ]
        with self._wcs_lock:
            wcs = shift_wcs(frame.wcs, x_start, y_start)
        return GalaxyImage(
            np.stack(planes),
            bands=bands,
            unit=u.nmgy,
            wcs=wcs,
            position=(x - x_start, y - y_start),
            size=target.radius,
            meta={
                'headers': [frames[band].header for band in bands],
                'source': _named(field, reference),
                'survey': self.survey,
                'catalogue': target.meta['catalogue'],
            },
        )

    def _frames(self, field, bands):
        """The frames of a field by band, all of them."""
        found, missing = {}, {}
        for band in bands:
            try:
                found[band] = self._frame(field, band)
            except ImageError as error:
                if error.flag != MorphologyFlag.NO_COVERAGE:
                    raise
                missing[band] = error
        if not missing:
            return found
        error = next(iter(missing.values()))
        if not found:
            raise error
        msg = f'there are frames of {sorted(found)}, not of {sorted(missing)}: {error}'
        raise ImageError(msg, flag=MorphologyFlag.BANDS_MISSING) from error

    def _frame(self, field, band):
        key = f'{_named(field, band)} of DR{self.data_release}, rerun {field[0]}'
        return self.archive.opened(
            key, lambda _: self._load(key, field, band), keep=_KEPT_FRAMES
        )

    def _load(self, key, field, band):
        decoded = []

        def check(content):
            decoded.append(_decode(content))

        def find():
            return self.archive.file(
                key,
                lambda: self._download(field, band),
                suffix='.fits.bz2',
                check=check,
            )

        path = find()
        if decoded:
            return decoded[-1]
        try:
            return _decode(path.read_bytes())
        # Damaged or deleted on the disk, since the archive sent it whole.
        except Exception:
            self.archive.cache.forget(self.archive.name, key)
            path = find()
            return decoded[-1] if decoded else _decode(path.read_bytes())

    def _download(self, field, band):
        """The bytes of a frame, packed as they are in the archive."""
        from astroquery.sdss import SDSSClass

        names = 'rerun', 'run', 'camcol', 'field'
        (container,) = SDSSClass().get_images_async(
            matches=Table(rows=[field], names=names),
            band=band,
            data_release=self.data_release,
            timeout=self.timeout,
            cache=False,
            show_progress=False,
        )
        # The container would unpack what comes; nothing was asked for so far.
        path = download_file(
            container._target,  # noqa: SLF001
            timeout=self.timeout,
            show_progress=False,
            http_headers={'User-Agent': USER_AGENT, 'Accept': '*/*'},
        )
        path = Path(path)
        try:
            content = path.read_bytes()
        finally:
            path.unlink()
        if content[:200].lstrip().startswith(b'<'):
            text = ' '.join(content[:150].decode('latin-1').split())
            msg = f'a page came in place of the frame: {text}'
            raise RuntimeError(msg)
        return content


def _named(field, band):
    _, run, camcol, number = field
    return f'frame-{band}-{run:06d}-{camcol}-{number:04d}.fits.bz2'


def _decode(content):
    """The image in the first HDU; an exception where it is not whole."""
    with fits.HDUList.fromstring(bz2.decompress(content)) as hdulist:
        header = hdulist[0].header
        data = np.array(hdulist[0].data, np.float32)
    wcs = wcs_from_header(header)
    if data.ndim != 2 or wcs is None:
        msg = 'there is no image of the sky in it'
        raise ValueError(msg)
    return _Frame(data, header, wcs)


def _side(target):
    if target.size is not None:
        return target.size
    if target.radius is None:
        return SDSS.default_size
    n_radii = max(_SIDE, 2 * target.reach)
    return min(max(n_radii * target.radius, _SIDES[0]), _SIDES[1])


def _scale(wcs):
    """Degrees a pixel."""
    return math.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix)))


def _pixel_map(frame, other, x, y, step=100.0):
    """Matrix and shift from pixels (x, y) of one frame to those of another."""
    if frame is other:
        return np.eye(2), np.zeros(2)
    points = np.array([[x, y]]) + step * np.array([[-1, 0], [1, 0], [0, -1], [0, 1]])
    sky = frame.wcs.wcs_pix2world(points, 0)
    left, right, below, above = other.wcs.wcs_world2pix(sky, 0)
    matrix = np.column_stack([right - left, above - below]) / (2 * step)
    centre = (left + right + below + above) / 4
    return matrix, centre - matrix @ [x, y]


def _common_box(frames, maps, position, half):
    """The part of the square around the target that all frames have."""
    # Half a pixel lies on each side of its centre.
    start = np.rint(np.subtract(position, half) + 0.5).astype(int)
    stop = np.rint(np.add(position, half) + 0.5).astype(int)
    corners = np.array([[x, y] for x in (start[0], stop[0] - 1)
                        for y in (start[1], stop[1] - 1)])  # fmt: skip
    for band, frame in frames.items():
        matrix, shift = maps[band]
        there = corners @ matrix.T + shift
        # The frames are parallel, but for less than a pixel over their width.
        offset = there - corners
        last = np.array(frame.data.shape[::-1]) - 1
        start = np.maximum(start, np.ceil(-offset.min(0) - 1e-6).astype(int))
        stop = np.minimum(stop, np.floor(last - offset.max(0) + 1e-6).astype(int) + 1)
    return int(start[0]), int(stop[0]), int(start[1]), int(stop[1])


def _resampled(data, pixel_map, box):
    """The pixels of another band at those of a box."""
    matrix, shift = pixel_map
    x_start, x_stop, y_start, y_stop = box
    corners = np.array([[x, y] for x in (x_start, x_stop) for y in (y_start, y_stop)])
    there = corners @ matrix.T + shift
    low = np.maximum(np.floor(there.min(0)).astype(int) - _MARGIN, 0)
    high = np.ceil(there.max(0)).astype(int) + _MARGIN
    section = data[low[1] : high[1], low[0] : high[0]]
    offset = matrix @ [x_start, y_start] + shift - low
    # scipy counts rows first.
    plane = affine_transform(
        section.astype(np.float64),
        matrix[::-1, ::-1],
        offset=offset[::-1],
        output_shape=(y_stop - y_start, x_stop - x_start),
        order=3,
        mode='mirror',
    )
    return (abs(np.linalg.det(matrix)) * plane).astype(np.float32)
