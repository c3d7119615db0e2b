// Superpoints of a mesh as method.md §1 states those of ScanNet's Segmentator, in plain C++ with std::sort.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

namespace {

using Vector = std::array<float, 3>;

Vector minus(Vector a, Vector b) { return {a[0] - b[0], a[1] - b[1], a[2] - b[2]}; }
float dot(Vector a, Vector b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }
Vector unit(Vector a) {
  const float length = std::sqrt(dot(a, a));
  return {a[0] / length, a[1] / length, a[2] / length};
}
Vector normal_of(Vector a, Vector b, Vector c) {
  const Vector u = minus(b, a), v = minus(c, a);
  return unit({u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]});
}

struct Edge {
  float weight;
  int32_t from, to;
};

struct Sets {
  std::vector<int32_t> parent, rank, size;
  explicit Sets(int64_t count) : parent(count), rank(count, 0), size(count, 1) {
    std::iota(parent.begin(), parent.end(), 0);
  }
  int32_t root(int32_t i) {
    while (parent[i] != i) i = parent[i] = parent[parent[i]];
    return i;
  }
  int32_t join(int32_t a, int32_t b) {
    if (rank[a] > rank[b]) std::swap(a, b);
    rank[b] += rank[a] == rank[b];
    parent[a] = b;
    size[b] += size[a];
    return b;
  }
};

}  // namespace

// root [vertices] receives one vertex of every vertex' superpoint; returns the seconds taken.
extern "C" double segment(const float* xyz, const int32_t* face, int64_t vertices, int64_t faces, float k,
                          int32_t min_vertices, int32_t* root) {
  const auto start = std::chrono::steady_clock::now();
  const auto point = [&](int32_t i) { return Vector{xyz[3 * i], xyz[3 * i + 1], xyz[3 * i + 2]}; };

  std::vector<Vector> normal(vertices, Vector{0, 0, 0});
  std::vector<int32_t> seen(vertices, 0);
  std::vector<Edge> edges;
  edges.reserve(3 * faces);
  for (int64_t f = 0; f < faces; f++) {
    const int32_t *corner = face + 3 * f, a = corner[0], b = corner[1], c = corner[2];
    const Vector n = normal_of(point(a), point(b), point(c));
    for (int i = 0; i < 3; i++) {
      const float share = 1.0f / (seen[corner[i]] + 1.0f), rest = 1.0f - share;
      for (int axis = 0; axis < 3; axis++) {
        float& mean = normal[corner[i]][axis];
        mean = share * n[axis] + rest * mean;
      }
    }
    for (int i = 0; i < 3; i++) seen[corner[i]]++;
    edges.insert(edges.end(), {{0, a, b}, {0, a, c}, {0, c, b}});
  }
  for (Edge& edge : edges) {
    const Vector along = unit(minus(point(edge.to), point(edge.from)));
    const float w = 1.0f - dot(normal[edge.from], normal[edge.to]);
    edge.weight = dot(normal[edge.to], along) > 0 ? w * w : w;
  }

  std::sort(edges.begin(), edges.end(), [](const Edge& a, const Edge& b) { return a.weight < b.weight; });
  Sets sets(vertices);
  std::vector<float> threshold(vertices, k);
  for (const Edge& edge : edges) {
    const int32_t a = sets.root(edge.from), b = sets.root(edge.to);
    if (a != b && edge.weight <= threshold[a] && edge.weight <= threshold[b]) {
      const int32_t joined = sets.join(a, b);
      threshold[joined] = edge.weight + k / sets.size[joined];
    }
  }
  for (const Edge& edge : edges) {
    const int32_t a = sets.root(edge.from), b = sets.root(edge.to);
    if (a != b && (sets.size[a] < min_vertices || sets.size[b] < min_vertices)) sets.join(a, b);
  }
  for (int64_t i = 0; i < vertices; i++) root[i] = sets.root(i);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Order [count] in which std::sort puts the keys.
extern "C" void sort_order(const float* key, int64_t count, int32_t* order) {
  std::vector<std::pair<float, int32_t>> items(count);
  for (int64_t i = 0; i < count; i++) items[i] = {key[i], static_cast<int32_t>(i)};
  std::sort(items.begin(), items.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (int64_t i = 0; i < count; i++) order[i] = items[i].second;
}
