// Certificates for tests: throw-away authorities, and servers whom they vouch for. OpenSSL makes them, in memory.
#ifndef OUTBOUND_TESTS_TLS_HPP
#define OUTBOUND_TESTS_TLS_HPP

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <cstdio>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>

namespace test {

struct openssl_deleter {
  void operator()(X509* p) const { X509_free(p); }
  void operator()(X509_EXTENSION* p) const { X509_EXTENSION_free(p); }
  void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
  void operator()(EVP_PKEY_CTX* p) const { EVP_PKEY_CTX_free(p); }
  void operator()(SSL_CTX* p) const { SSL_CTX_free(p); }
};
template <class T>
using openssl_ptr = std::unique_ptr<T, openssl_deleter>;

inline void openssl_check(bool done, const char* what) {
  if (!done) throw std::runtime_error{std::string{"OpenSSL: "} + what};
}

/// A certificate and its key.
class certificate {
 public:
  struct wishes {
    std::string common_name{};
    std::string names{};  // subjectAltName, written as in x509v3_config(5): "DNS:localhost,IP:127.0.0.1"
    bool authority{};     // it may sign others
    int first_day{-1};    // of those on which it is valid; today is 0
    int last_day{2};
    std::string usage{};  // extendedKeyUsage: "clientAuth"; empty: any
  };

  /// Signed by `issuer`, or by itself.
  explicit certificate(const wishes& w, const certificate* issuer = nullptr) : key_{new_key()} {
    static std::atomic<long> serial{0};
    const certificate& by = issuer != nullptr ? *issuer : *this;
    X509* const x = x509_.get();
    const auto* const name = reinterpret_cast<const unsigned char*>(w.common_name.c_str());
    openssl_check(x != nullptr && X509_set_version(x, 2) == 1 &&
                      ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial) == 1 &&
                      X509_time_adj_ex(X509_getm_notBefore(x), w.first_day, 0, nullptr) != nullptr &&
                      X509_time_adj_ex(X509_getm_notAfter(x), w.last_day, 0, nullptr) != nullptr &&
                      X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8, name, -1, -1, 0) == 1 &&
                      X509_set_issuer_name(x, X509_get_subject_name(by.x509())) == 1 && X509_set_pubkey(x, key()) == 1,
                  "a certificate");
    extend(NID_basic_constraints, w.authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    extend(NID_key_usage, w.authority ? "critical,keyCertSign" : "critical,digitalSignature");
    if (!w.names.empty()) extend(NID_subject_alt_name, w.names);
    if (!w.usage.empty()) extend(NID_ext_key_usage, w.usage);
    openssl_check(X509_sign(x, by.key(), EVP_sha256()) != 0, "X509_sign");
  }

  X509* x509() const { return x509_.get(); }
  EVP_PKEY* key() const { return key_.get(); }

  /// In PEM, for a client that is to trust it.
  void write_to(const std::string& file) const {
    std::FILE* const out = std::fopen(file.c_str(), "w");
    const bool written = out != nullptr && PEM_write_X509(out, x509()) == 1;
    openssl_check(out != nullptr && std::fclose(out) == 0 && written, file.c_str());
  }

 private:
  static openssl_ptr<EVP_PKEY> new_key() {
    const openssl_ptr<EVP_PKEY_CTX> made{EVP_PKEY_CTX_new_id(EVP_PKEY_EC, nullptr)};
    EVP_PKEY* key = nullptr;
    openssl_check(made != nullptr && EVP_PKEY_keygen_init(made.get()) == 1 &&
                      EVP_PKEY_CTX_set_ec_paramgen_curve_nid(made.get(), NID_X9_62_prime256v1) == 1 &&
                      EVP_PKEY_keygen(made.get(), &key) == 1,
                  "a key");
    return openssl_ptr<EVP_PKEY>{key};
  }

  void extend(int nid, const std::string& value) {
    X509V3_CTX none{};
    const openssl_ptr<X509_EXTENSION> made{X509V3_EXT_conf_nid(nullptr, &none, nid, value.c_str())};
    openssl_check(made != nullptr && X509_add_ext(x509(), made.get(), -1) == 1, value.c_str());
  }

  openssl_ptr<EVP_PKEY> key_;
  openssl_ptr<X509> x509_{X509_new()};
};

/// Who a TLS server says it is: a certificate, and those that lead from it to an authority.
class identity {
 public:
  explicit identity(const certificate& own, std::initializer_list<const certificate*> chain = {}) {
    SSL_CTX* const c = context_.get();
    openssl_check(
        c != nullptr && SSL_CTX_use_certificate(c, own.x509()) == 1 && SSL_CTX_use_PrivateKey(c, own.key()) == 1,
        "a server's certificate");
    for (const certificate* one : chain) {
      X509_up_ref(one->x509());  // SSL_CTX_add_extra_chain_cert, a macro with casts, takes it over
      openssl_check(SSL_CTX_ctrl(c, SSL_CTRL_EXTRA_CHAIN_CERT, 0, one->x509()) == 1, "a server's chain");
    }
  }

  SSL_CTX* context() const { return context_.get(); }

 private:
  openssl_ptr<SSL_CTX> context_{SSL_CTX_new(TLS_server_method())};
};

}  // namespace test
#endif
