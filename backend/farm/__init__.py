"""Drawing many pictures, in this process or on many machines. One function draws a picture, whoever calls it."""
