"""VFI-DPA: judges how hard a frame pair is to interpolate, without interpolating; and the pipeline that uses it."""
