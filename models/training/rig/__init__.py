"""Training of the rig: landmarks, reconstruction, RigNet, in stages that can be stopped and continued."""
