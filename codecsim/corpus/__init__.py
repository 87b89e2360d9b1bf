"""Corpus: face tracks of 96×96 gray frames with their labels in one HDF5 file. Its layout stands in `schema`."""

from codecsim.corpus.reading import Corpus, is_corpus
from codecsim.corpus.schema import HR_SIDE, Frames, Sequence, corpus_digest
from codecsim.corpus.writing import CorpusWriter, SequenceWriter

__all__ = ["HR_SIDE", "Corpus", "CorpusWriter", "Frames", "Sequence", "SequenceWriter", "corpus_digest", "is_corpus"]
