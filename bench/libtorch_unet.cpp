// The network of `groundglass bench` in libtorch, PyTorch's C++ interface (channels_last, bf16 by autocast).
//
//   T=$(python -c "import torch, os; print(os.path.dirname(torch.__file__))")
//   g++ -O2 -std=c++20 bench/libtorch_unet.cpp -o libtorch_unet -I$T/include -I$T/include/torch/csrc/api/include \
//       -L$T/lib -ltorch -ltorch_cpu -lc10 -Wl,-rpath,$T/lib
//   ./libtorch_unet --mode bf16 --only train
//
// Takes the arguments of bench/tensorflow_unet.py and prints the same JSON line.
#include <ATen/autocast_mode.h>
#include <sys/resource.h>
#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <iostream>

using torch::Tensor;
namespace nn = torch::nn;

static nn::Sequential block(int in, int out) {
  auto conv = [](int i, int o) { return nn::Conv2d(nn::Conv2dOptions(i, o, 3).padding(1).bias(false)); };
  return nn::Sequential(conv(in, out), nn::BatchNorm2d(out), nn::ReLU(), conv(out, out), nn::BatchNorm2d(out), nn::ReLU());
}

struct UNet : nn::Module {
  std::vector<nn::Sequential> down, dec;
  std::vector<nn::ConvTranspose2d> up;
  nn::Conv2d out{nullptr};

  explicit UNet(int base) {
    for (int k = 0; k < 5; k++) {
      down.push_back(register_module("down" + std::to_string(k), block(k ? base << (k - 1) : 1, base << k)));
    }
    for (int k = 3; k >= 0; k--) {
      auto options = nn::ConvTranspose2dOptions(base << (k + 1), base << k, 2).stride(2);
      up.push_back(register_module("up" + std::to_string(k), nn::ConvTranspose2d(options)));
      dec.push_back(register_module("dec" + std::to_string(k), block(base << (k + 1), base << k)));
    }
    out = register_module("out", nn::Conv2d(nn::Conv2dOptions(base, 1, 1)));
  }

  Tensor forward(Tensor x) {
    std::vector<Tensor> skips;
    for (int k = 0; k < 5; k++) {
      x = down[k]->forward(x);
      if (k < 4) {
        skips.push_back(x);
        x = torch::max_pool2d(x, 2);
      }
    }
    for (int i = 0; i < 4; i++) {
      x = dec[i]->forward(torch::cat({skips.back(), up[i]->forward(x)}, 1));
      skips.pop_back();
    }
    return torch::sigmoid(out->forward(x));
  }
};

template <class F>
static double median_ms(F f, int repeats) {
  for (int i = 0; i < 3; i++) f();
  std::vector<double> times;
  for (int i = 0; i < repeats; i++) {
    auto start = std::chrono::steady_clock::now();
    f();
    times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(times.begin(), times.end());
  return (times[(repeats - 1) / 2] + times[repeats / 2]) / 2;
}

int main(int argc, char** argv) {
  std::string mode = "fp32", only;
  int threads = 2, repeats = 12, base = 32;
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string key = argv[i], value = argv[i + 1];
    if (key == "--mode") mode = value;
    else if (key == "--only") only = value;
    else if (key == "--threads") threads = std::stoi(value);
    else if (key == "--repeats") repeats = std::stoi(value);
    else if (key == "--base") base = std::stoi(value);
    else return std::cerr << "unknown argument " << key << "\n", 2;
  }
  at::set_num_threads(threads);
  torch::manual_seed(0);
  const bool bf16 = mode == "bf16";
  const auto layout = torch::MemoryFormat::ChannelsLast;
  auto cast = [&](bool on) {
    at::autocast::set_autocast_enabled(at::kCPU, on && bf16);
    at::autocast::set_autocast_dtype(at::kCPU, torch::kBFloat16);
    if (!on) at::autocast::clear_cache();
  };
  auto net = std::make_shared<UNet>(base);
  for (auto& p : net->parameters()) {
    if (p.dim() == 4) p.set_data(p.contiguous(layout));
  }
  double train_ms = -1, slice_ms = -1;
  if (only != "predict") {
    torch::optim::Adam adam(net->parameters(), torch::optim::AdamOptions(1e-3));
    auto x = torch::rand({8, 1, 128, 128}).contiguous(layout);
    auto y = (torch::rand({8, 1, 128, 128}) > 0.7).to(torch::kFloat);
    train_ms = median_ms([&] {
      adam.zero_grad();
      cast(true);
      auto p = net->forward(x);
      cast(false);
      p = p.to(torch::kFloat);
      auto dice = (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1);
      (nn::functional::binary_cross_entropy(p, y) + 1 - dice).backward();
      adam.step();
    }, repeats);
  }
  if (only != "train") {
    net->eval();
    torch::InferenceMode guard;
    auto z = torch::rand({2, 1, 256, 256}).contiguous(layout);
    cast(true);
    slice_ms = median_ms([&] { net->forward(z); }, repeats) / 2;
    cast(false);
  }
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  auto number = [](double v) { return v < 0 ? std::string("null") : std::to_string(v); };
  std::cout << "{\"engine\": \"libtorch\", \"mode\": \"" << mode << "\", \"train_step_ms\": " << number(train_ms)
            << ", \"predict_slice_ms\": " << number(slice_ms) << ", \"peak_rss_mb\": " << usage.ru_maxrss / 1024 << "}\n";
}
