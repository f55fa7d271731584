# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Cutouts of Hubble mosaics: bands, zero points, sky, grids."""

import functools
import io

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.stats import sigma_clipped_stats
from astropy.wcs.utils import proj_plane_pixel_area

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images import GalaxyImage
from galmorph.images.celestial import grid_offset, icrs_wcs, wcs_from_header
from galmorph.images.content import is_covered
from galmorph.images.headers import band_names, unit_from_header
from galmorph.sources._framing import locate

__all__ = [
    'Plane',
    'image_of_planes',
    'merge_cutouts',
    'nanojansky_per_count',
    'read_planes',
]

# Bands of one grid agree by better than this, in pixels.
_MAX_OFFSET = 0.5
_GRID_KEYWORDS = [
    f'{name}{axis}'
    for name in ('NAXIS', 'CTYPE', 'CRPIX', 'CRVAL', 'CDELT', 'CROTA')
    for axis in (1, 2)
]
_GRID_KEYWORDS += [
    f'{name}{i}_{j}' for name in ('CD', 'PC') for i in (1, 2) for j in (1, 2)
]
_GRID_KEYWORDS += ['RADESYS', 'EQUINOX', 'LONPOLE', 'LATPOLE']
_COUNTS = tuple(count / u.s for count in (u.electron, u.ct, u.DN, u.adu))


class Plane:
    """
    One band of a cutout.

    Parameters
    ----------
    band : str
        The name of the band.
    data : `~numpy.ndarray`, shape (ny, nx)
        The pixels as they are in the file.
    header : `~astropy.io.fits.Header`
        The header.
    wcs : `~astropy.wcs.WCS`
        In ICRS, if it can be.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from astropy.wcs import WCS
    >>> from galmorph.sources._hubble import Plane
    >>> Plane('F160W', np.eye(9), fits.Header(), WCS(naxis=2)).empty.sum()
    np.int64(72)
    """

    def __init__(self, band, data, header, wcs):
        self.band = band
        self.data = np.asarray(data, np.float32)
        self.header = header
        self.wcs = wcs

    @functools.cached_property
    def empty(self):
        """True for pixels without data: drizzled mosaics have zeros there."""
        return ~np.isfinite(self.data) | (self.data == 0)

    @property
    def scale(self):
        """The side of a pixel in degrees."""
        return proj_plane_pixel_area(self.wcs) ** 0.5


def merge_cutouts(hdulists):
    """
    Put the images of several HDU lists into the bytes of one FITS file.

    Parameters
    ----------
    hdulists : list of `~astropy.io.fits.HDUList`
        As astroquery returns them. They are closed.

    Returns
    -------
    content : bytes
        The file.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from galmorph.sources._hubble import merge_cutouts
    >>> hdulist = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.eye(9))])
    >>> len(merge_cutouts([hdulist, hdulist.copy()])) % 2880
    0
    """
    buffer = io.BytesIO()
    images = [hdu for hdulist in hdulists for hdu in hdulist[1:] if hdu.is_image]
    merged = fits.HDUList([hdulists[0][0], *images])
    merged.writeto(buffer, output_verify='ignore')
    for hdulist in hdulists:
        hdulist.close()
    return buffer.getvalue()


def read_planes(path):
    """
    Read the bands of a cutout.

    Parameters
    ----------
    path : path-like
        A FITS file with one image HDU a band, as MAST cuts them.

    Returns
    -------
    planes : list of `Plane`
        Those whose band and WCS the headers tell.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from galmorph.sources._hubble import read_planes
    >>> header = fits.Header({'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN',
    ...                       'ORIG_FLE': 'hlsp_candels_gn-tot-30mas_f814w_drz.fits'})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fits.writeto(f'{folder}/a.fits', np.eye(9), header)
    ...     [plane.band for plane in read_planes(f'{folder}/a.fits')]
    ['F814W']
    """
    planes, known = [], {}
    with fits.open(path, memmap=False) as hdulist:
        for hdu in hdulist:
            if not hdu.is_image or len(hdu.shape) != 2:
                continue
            header = hdu.header
            names = band_names(header)
            # The bands of a grid share its WCS.
            grid = tuple(header.get(key) for key in _GRID_KEYWORDS)
            if grid not in known:
                wcs = wcs_from_header(header)
                known[grid] = None if wcs is None else icrs_wcs(wcs)
            if names is not None and known[grid] is not None:
                planes.append(Plane(names[0], hdu.data, header, known[grid]))
    return planes


def nanojansky_per_count(header):
    """
    Read the flux of one electron per second.

    ``PHOTFLAM`` is the flux density per wavelength (erg / s / cm2 / Angstrom),
    ``PHOTPLAM`` the pivot wavelength (Angstrom). The AB zero point is
    -2.5 lg PHOTFLAM - 21.10 - 5 lg PHOTPLAM + 18.6921 (ACS Data Handbook,
    Lucas et al. 2022, section 5.1).

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        The header of a Hubble image.

    Returns
    -------
    scale : float or None
        In nJy; None where the keywords are missing.

    Examples
    --------
    >>> from galmorph.sources._hubble import nanojansky_per_count
    >>> header = {'PHOTFLAM': 7.0209e-20, 'PHOTPLAM': 8057.3}
    >>> print(f'{nanojansky_per_count(header):.1f}')
    152.0
    """
    values = [header.get(key) for key in ('PHOTFLAM', 'PHOTPLAM')]
    if not all(isinstance(value, (int, float)) and value > 0 for value in values):
        return None
    return _to_nanojansky(*values)


@functools.lru_cache(maxsize=64)
def _to_nanojansky(sensitivity, wavelength):
    # Units take as long as all the pixels of a galaxy.
    unit = u.erg / u.s / u.cm**2 / u.AA
    return unit.to(u.nJy, sensitivity, u.spectral_density(wavelength * u.AA))


def image_of_planes(planes, target, bands, *, survey='HST', source=None):
    """
    Make the image of a target from the bands of cutouts.

    The finest grid on which all bands saw the target is taken. Of images in
    one band the one that covers more counts. Pixels without data are masked;
    the sky level, the clipped median of the border, is subtracted.

    Parameters
    ----------
    planes : list of `Plane`
        The bands there are.
    target : `~galmorph.sources.Target`
        The target.
    bands : tuple of str
        The bands that are wanted.
    survey, source : str, optional
        For the meta of the image.

    Returns
    -------
    image : `~galmorph.GalaxyImage`
        In nJy; without a unit where a header lacks the zero point. Its meta
        has the sky levels that were subtracted, in its unit, as 'background'.

    Raises
    ------
    `~galmorph.exceptions.ImageError`
        With the flag ``BANDS_MISSING`` where only some of the bands saw the
        target, with ``NO_COVERAGE`` where none did.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from astropy.wcs import WCS
    >>> from galmorph.sources import Target
    >>> from galmorph.sources._hubble import Plane, image_of_planes
    >>> wcs = WCS({'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN', 'CRPIX1': 10,
    ...            'CRPIX2': 10, 'CDELT1': -1e-5, 'CDELT2': 1e-5})
    >>> header = fits.Header({'PHOTFLAM': 1.9e-20, 'PHOTPLAM': 15369})
    >>> plane = Plane('F160W', np.eye(20) + 1, header, wcs)
    >>> image_of_planes([plane], Target(0, 0), ('F160W',))
    <GalaxyImage 20 x 20 pixels, bands F160W, nJy, 0.036 arcsec / pix>
    """
    seen = []
    for grid in _grids(planes):
        x, y = locate(_first(grid).wcs, target)
        good = {
            band: plane for band, plane in grid.items() if is_covered(plane.empty, x, y)
        }
        seen += [band for band in good if band not in seen]
        if set(bands) <= set(good):
            chosen = [good[band] for band in bands]
            return _image(chosen, (x, y), target, survey, source)
    where = f'{source or survey} at {target.ra:.5f} {target.dec:+.5f}'
    if not seen:
        msg = f'there is no image of {where}'
        raise ImageError(msg, flag=MorphologyFlag.NO_COVERAGE)
    missing = [band for band in bands if band not in seen]
    if not missing:
        msg = f'the bands {list(bands)} of {where} are not on one grid'
    else:
        msg = f'{where} has {sorted(seen)}, not {missing}'
    raise ImageError(msg, flag=MorphologyFlag.BANDS_MISSING)


def _grids(planes):
    """Dicts of the bands of each grid, finest grid first."""
    grids = []
    for plane in planes:
        for grid in grids:
            first = _first(grid)
            shape = first.data.shape
            if plane.data.shape == shape and (
                grid_offset(first.wcs, plane.wcs, shape) < _MAX_OFFSET
            ):
                break
        else:
            grid = {}
            grids.append(grid)
        known = grid.get(plane.band)
        if known is None or plane.empty.sum() < known.empty.sum():
            grid[plane.band] = plane
    # 60.0001 mas are as good as 60.
    return sorted(grids, key=lambda grid: round(3.6e6 * _first(grid).scale))


def _first(grid):
    return next(iter(grid.values()))


def _image(planes, position, target, survey, source):
    units = [unit_from_header(plane.header) for plane in planes]
    scales = [
        _scale(plane.header, unit) for plane, unit in zip(planes, units, strict=True)
    ]
    unit = u.nJy
    if None in scales:
        unit, scales = None, [1.0] * len(planes)
    data, mask, levels = [], [], []
    for plane, scale in zip(planes, scales, strict=True):
        empty = plane.empty
        level = _sky_level(plane.data, empty)
        levels.append(float(scale * level))
        data.append((plane.data - np.float32(level)) * np.float32(scale))
        mask.append(empty)
    mask = np.array(mask)
    return GalaxyImage(
        np.array(data),
        bands=tuple(plane.band for plane in planes),
        unit=unit,
        wcs=planes[0].wcs,
        mask=mask if mask.any() else None,
        meta={
            'headers': [plane.header for plane in planes],
            'survey': survey,
            'source': source,
            'background': levels,
        },
        position=position,
        size=target.radius,
    )


def _scale(header, unit):
    """The value of a pixel of 1 in nJy, or None."""
    if unit is None or unit in _COUNTS:
        return nanojansky_per_count(header)
    return unit.to(u.nJy) if unit.is_equivalent(u.nJy) else None


def _sky_level(data, empty):
    """The level of the sky in the outer tenth on each side, in file units."""
    width = max(1, round(0.1 * min(data.shape)))
    inside = np.zeros(data.shape, bool)
    inside[width:-width, width:-width] = True
    border = data[~inside & ~empty]
    # Where hardly any of the border was observed, the whole says more.
    if border.size < 0.2 * np.count_nonzero(~inside):
        border = data[~empty]
    return sigma_clipped_stats(border, stdfunc='mad_std')[1]
