"""Physical constants and the detector's description, each with its unit and where it comes from.

PDG: Review of Particle Physics, "Atomic and nuclear properties of materials" (water, liquid) and "Passage of
particles through matter". WCSim: the Water Cherenkov Simulator, geometry ``NuPRISM_mPMT``, the Intermediate Water
Cherenkov Detector (IWCD) of Hyper-Kamiokande with a barrel of 16 rings of 40 multi-PMT modules.
"""

import math

# Particles (PDG)
SPEED_OF_LIGHT = 29.9792458  # cm/ns
ELECTRON_MASS = 0.51099895  # MeV
MUON_MASS = 105.6583755  # MeV
FINE_STRUCTURE = 1 / 137.035999

# Water (PDG)
DENSITY = 1.0  # g/cm³; lengths in cm and g/cm² are therefore the same number
RADIATION_LENGTH = 36.08  # cm
CONVERSION_LENGTH = 9 / 7 * RADIATION_LENGTH  # cm, mean path of a photon to pair production at high energy
CRITICAL_ENERGY = 78.33  # MeV, for electrons
SCATTERING_ENERGY = 13.6  # MeV, Highland's formula of multiple scattering
BETHE_CONSTANT = 0.307075  # MeV cm²/mol, K of the Bethe equation
CHARGE_TO_MASS = 0.55509  # Z/A, mol/g
MEAN_EXCITATION = 79.7e-6  # MeV, I of the Bethe equation
STERNHEIMER = (0.09116, 3.4773, 0.2400, 2.8004, 3.5017)  # a, k, x0, x1, C of the density effect

# Light in water
REFRACTIVE_INDEX = 1.34  # at about 430 nm, where the light times the efficiency peaks (IAPWS R9-97, 20 °C)
GROUP_INDEX = 1.38  # n - λ dn/dλ at the same wavelength: the speed of the light is c / GROUP_INDEX
CHROMATIC_SPREAD = 0.004  # of cos θ = 1/(nβ): n falls from 1.36 to 1.33 between 300 and 600 nm
ATTENUATION_LENGTH = 1e4  # cm; ultra-pure water, about 100 m (Super-Kamiokande, NIM A 501 (2003) 418)
WAVELENGTHS = (300e-7, 600e-7)  # cm, the band in which 3-inch bialkali tubes see light
PHOTONS_PER_LENGTH = 2 * math.pi * FINE_STRUCTURE * (1 / WAVELENGTHS[0] - 1 / WAVELENGTHS[1])
"""Photons per cm of track and unit sin²θ (Frank and Tamm, PDG): 764, hence about 340 per cm at β = 1."""
EFFICIENCY = 0.15  # photo-electrons per photon on a photocathode: quantum (0.27 at its peak), collection, acrylic, gel
SHOWER_TRACK_LENGTH = 0.484  # cm of β = 1 track per MeV of an electromagnetic shower: 532 cm/GeV in ice of 0.91 g/cm³
"""From Rädel and Wiebusch, Astropart. Phys. 44 (2013) 102, scaled by the density."""
SHOWER_FLUCTUATION = 0.02  # relative, at 1 GeV, of the track length; grows as 1/√E

# Detector (WCSim, NuPRISM_mPMT)
ROWS = 16
COLUMNS = 40
PMTS = 19  # tubes in a module: 1 in the centre, 6 in the inner ring, 12 in the outer ring
TANK_RADIUS = 371.0  # cm
TANK_HALF_HEIGHT = 521.0  # cm
ROW_PITCH = 2 * (TANK_HALF_HEIGHT - 29.2) / ROWS  # cm; the outermost rows stay one module's height off the ends
RING_TILTS = (0.0, 18.0, 36.0)  # degrees between a tube's axis and its module's: centre, inner ring, outer ring
PMT_SPHERE_RADIUS = 32.4  # cm, of the sphere the tubes' faces lie on: 34.2 of the dome less acrylic and gap
VESSEL_RADIUS = 25.4  # cm
VESSEL_CURVATURE = 34.2  # cm, the dome's radius of curvature
VESSEL_CYLINDER = 3.8  # cm, the straight part between wall and dome
PMT_RADIUS = 4.0  # cm, the photocathode with its reflector

# Electronics; orders of magnitude of 3-inch tubes (KM3NeT, JINST 13 (2018) P05035), not a fit to any one
CHARGE_RESOLUTION = 0.30  # of a single photo-electron's charge
CHARGE_THRESHOLD = 0.10  # photo-electrons, the least charge a hit is given
TRANSIT_TIME_SPREAD = 1.0  # ns, standard deviation for one photo-electron
DARK_RATE = 1e-6  # per ns and tube, 1 kHz
READOUT_WINDOW = 300.0  # ns after the interaction
REFLECTED_FRACTION = 0.05  # of the direct light, again: sent back by black sheet and glass, which reflect some percent

# Events
ENERGY_SPAN = 1000.0  # MeV above the Cherenkov threshold, drawn uniformly
WALL_MARGIN = 70.0  # cm between a vertex and the tank's wall and ends
