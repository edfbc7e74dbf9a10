"""BLAS on one thread, however many threads of Python ask for it."""

import pytest
from threadpoolctl import ThreadpoolController

from qkd_pl.threads import one_blas_thread


def test_blas_is_held_to_one_thread_until_the_last_one_leaves():
    controller = ThreadpoolController().select(user_api="blas")

    def threads():
        return [library.get_num_threads() for library in controller.lib_controllers]

    with controller.limit(limits=2):
        before = threads()
        with one_blas_thread():
            with one_blas_thread():
                assert set(threads()) == {1}
            assert set(threads()) == {1}
        assert threads() == before


def test_an_error_inside_lifts_the_limit():
    controller = ThreadpoolController().select(user_api="blas")
    with controller.limit(limits=2):
        before = [library.get_num_threads() for library in controller.lib_controllers]
        with pytest.raises(ValueError, match="inside"), one_blas_thread():
            raise ValueError("inside")
        assert [library.get_num_threads() for library in controller.lib_controllers] == before
