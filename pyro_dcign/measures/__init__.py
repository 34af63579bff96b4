"""What can the network do? Calibration, measures, tables and figures."""
