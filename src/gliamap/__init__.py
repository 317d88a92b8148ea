"""gliamap: brain tumour segmentation in MRI. Research use only; not a medical device."""

__version__ = "0.1.0"
