/* words.cpp - the module words: a text's words counted, and an index that stays.
 *
 * What it shows: containers whose memory comes from an arena, in both ways there are, and
 * pyslab's exceptions as Python's.
 * Lock: an Index has a mutex, taken without the GIL; count() shares nothing. So the module asks for
 * no GIL where Python has none.
 */
#include <pybind11/pybind11.h>

#include <pyslab.hpp>

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace py = pybind11;

namespace {

/* The arena of an argument, which may be None: the default one. */
pyslab::arena_ref arena_of(const py::object &object)
{
    if (object.is_none())
        return pyslab::arena_ref::process_default();
    pyslab_arena *arena = pyslab_arena_from_object(object.ptr());

    if (arena == nullptr)
        throw py::error_already_set();
    return pyslab::arena_ref(arena);
}

/* A str's bytes. They stay as they are while the caller has the str, as a bytearray's might not. */
std::string_view view_of(const py::str &text)
{
    Py_ssize_t length;
    const char *bytes = PyUnicode_AsUTF8AndSize(text.ptr(), &length);

    if (bytes == nullptr)
        throw py::error_already_set();
    return {bytes, static_cast<std::size_t>(length)};
}

template <class Function>
void for_each_word(std::string_view text, Function function)
{
    constexpr std::string_view space = " \t\n\v\f\r";

    for (std::size_t end, i = text.find_first_not_of(space); i != text.npos;
         i = text.find_first_not_of(space, end)) {
        end = std::min(text.find_first_of(space, i), text.size());
        function(text.substr(i, end - i));
    }
}

py::dict count(const py::str &string, const py::object &object)
{
    const std::string_view text = view_of(string);
    pyslab::region region(arena_of(object));
    pyslab::region_resource resource(region.get());
    std::pmr::unordered_map<std::pmr::string, std::int64_t> counts(&resource);
    py::dict found;
    {
        py::gil_scoped_release nogil;

        for_each_word(text,
                      [&](std::string_view word) { ++counts[std::pmr::string(word, &resource)]; });
    }
    for (const auto &[word, times] : counts)
        found[py::str(word.data(), word.size())] = times;
    return found;
}

class Index {
public:
    explicit Index(const py::object &object)
        : arena_(arena_of(object)), map_(pyslab::allocator<value>(arena_))
    {
    }

    /* Adds times to the word's count; returns the new one. */
    std::int64_t add(const py::str &added, std::int64_t times)
    {
        const std::string_view word = view_of(added);
        py::gil_scoped_release nogil;
        std::lock_guard guard(mutex_);

        return map_[string(word, pyslab::allocator<char>(arena_))] += times;
    }
    std::int64_t get(const py::str &wanted)
    {
        const std::string_view word = view_of(wanted);
        py::gil_scoped_release nogil;
        std::lock_guard guard(mutex_);
        auto found = map_.find(string(word, pyslab::allocator<char>(arena_)));

        if (found == map_.end())
            throw py::key_error(std::string(word));
        return found->second;
    }
    std::size_t size()
    {
        py::gil_scoped_release nogil;
        std::lock_guard guard(mutex_);

        return map_.size();
    }

private:
    using string = std::basic_string<char, std::char_traits<char>, pyslab::allocator<char>>;
    using value = std::pair<const string, std::int64_t>;
    struct hash {
        std::size_t operator()(const string &word) const noexcept
        {
            return std::hash<std::string_view>()(word);
        }
    };

    pyslab::arena_ref arena_; /* before the map, whose memory it keeps */
    std::unordered_map<string, std::int64_t, hash, std::equal_to<>, pyslab::allocator<value>> map_;
    std::mutex mutex_;
};

} // namespace

PYBIND11_MODULE(words, module, py::mod_gil_not_used())
{
    if (pyslab_import() < 0)
        throw py::error_already_set();
    py::register_exception_translator([](std::exception_ptr raised) {
        try {
            if (raised)
                std::rethrow_exception(raised);
        } catch (const pyslab::error &error) {
            pyslab_raise(error.code(), error.call());
        } catch (const pyslab::bad_alloc &error) {
            pyslab_raise(error.code(), "words");
        }
    });
    module.def("count", &count, py::arg("text"), py::arg("arena") = py::none(),
               "Count the words of a text, in a region of the arena.");
    py::class_<Index>(module, "Index", "Index(arena=None): words and how often they were added.")
        .def(py::init<const py::object &>(), py::arg("arena") = py::none())
        .def("add", &Index::add, py::arg("word"), py::arg("times") = 1)
        .def("__getitem__", &Index::get)
        .def("__len__", &Index::size);
}
