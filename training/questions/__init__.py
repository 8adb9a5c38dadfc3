"""Questions and answers about photos: made from captions by rules, and read from files of VQA v2."""
