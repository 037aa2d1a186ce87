"""Whole small computations, as users write them."""

import math

import numpy

from . import F32, I64, NUMBER, f32, f64, F64, ints, positive, program, wide
from .functions import softmax, standardised


@program
def attention_by_hand(rng):
    q, k, v = f32(rng, 13, 8), f32(rng, 7, 8), f32(rng, 7, 5)
    return """
        Q[p,d] = "q.npy"
        K[q,d] = "k.npy"
        V[q,e] = "v.npy"
        Score[p,q] = Q[p,d] K[q,d] / sqrt(8.0)
        Weight[p,q.] = softmax(Score[p,q])
        Out[p,e] = Weight[p,q] V[q,e]
        "out.npy" = Out[p,e]
    """, {"q": q, "k": k, "v": v}, {"out": F32(softmax(wide(q) @ wide(k).T / math.sqrt(8)) @ wide(v), 30, 8)}


@program
def attention_without_keys(rng):
    q, k, v = f32(rng, 13, 8), f32(rng, 0, 8), f32(rng, 0, 5)
    return """
        Q[p,d] = "q.npy"
        K[q,d] = "k.npy"
        V[q,e] = "v.npy"
        Weight[p,q.] = softmax(Q[p,d] K[q,d])
        Out[p,e] = Weight[p,q] V[q,e]
        Same[p,e] = attention(Q[p,d], K[q,d], V[q,e])
        "out.npy" = Out[p,e]
        "same.npy" = Same[p,e]
    """, {"q": q, "k": k, "v": v}, {"out": F32(numpy.zeros((13, 5))), "same": F32(numpy.zeros((13, 5)))}


@program
def causal_multi_head_attention(rng):
    x, wq, wk, wv, wo = f32(rng, 11, 6), *(f32(rng, 2, 6, 3) / 2 for _ in range(3)), f32(rng, 2, 3, 6) / 2
    q, k, v = (numpy.einsum("pd,hde->hpe", wide(x), wide(w)) for w in (wq, wk, wv))
    score = numpy.einsum("hpe,hqe->hpq", q, k) / math.sqrt(3)
    score = numpy.where(numpy.tril(numpy.ones((11, 11))) > 0, score, -numpy.inf)
    out = numpy.einsum("hpq,hqe,hed->pd", softmax(score), v, wide(wo))
    return """
        X[p,d] = "x.npy"
        WQ[h,d,e] = "wq.npy"
        WK[h,d,e] = "wk.npy"
        WV[h,d,e] = "wv.npy"
        WO[h,e,d] = "wo.npy"
        Mask[p,q] = causal_mask(11)
        Query[h,p,e] = X[p,d] WQ[h,d,e]
        Key[h,p,e] = X[p,d] WK[h,d,e]
        Value[h,p,e] = X[p,d] WV[h,d,e]
        Score[h,p,q] = Query[h,p,e] Key[h,q,e] / sqrt(3.0) - 10000 (1 - Mask[p,q])
        Weight[h,p,q.] = softmax(Score[h,p,q])
        Head[h,p,e] = Weight[h,p,q] Value[h,q,e]
        Out[p,d] = Head[h,p,e] WO[h,e,d]
        Normed[p,d.] = lnorm(X[p,d] + Out[p,d])
        "out.npy" = Out[p,d]
        "normed.npy" = Normed[p,d]
    """, dict(zip(("x", "wq", "wk", "wv", "wo"), (x, wq, wk, wv, wo))), {
        "out": F32(out, 80, 10), "normed": F32(standardised(wide(x) + out), 100, 10)}


@program
def perceptron_of_two_layers(rng):
    x, w1, b1, w2, b2 = f32(rng, 17, 13), f32(rng, 31, 13) / 4, f32(rng, 31), f32(rng, 10, 31) / 4, f32(rng, 10)
    label = ints(rng, 0, 9, 17)
    hidden = numpy.maximum(wide(x) @ wide(w1).T + wide(b1), 0)
    logits = hidden @ wide(w2).T + wide(b2)
    p = softmax(logits)
    loss = -numpy.log(p[numpy.arange(17), label]).mean()
    delta = (p - numpy.eye(10)[label]) / 17
    return """
        X[n,d] = "x.npy"
        W1[h,d] = "w1.npy"
        B1[h] = "b1.npy"
        W2[c,h] = "w2.npy"
        B2[c] = "b2.npy"
        Label[n] = "label.npy"
        H[n,h] = relu(W1[h,d] X[n,d] + B1[h])
        Logit[n,c] = W2[c,h] H[n,h] + B2[c]
        P[n,c.] = softmax(Logit[n,c])
        Truth[n,c] = one_hot(Label[n], 10)
        LogLikelihood[n] = log(P[n,c]) Truth[n,c]
        Loss = -mean(LogLikelihood[n], axis=n)
        Delta[n,c] = (P[n,c] - Truth[n,c]) / 17
        GradW2[c,h] = Delta[n,c] H[n,h]
        GradB2[c] = Delta[n,c]
        Back[n,h] = Delta[n,c] W2[c,h] (H[n,h] > 0)
        GradW1[h,d] = Back[n,h] X[n,d]
        Guess[n] = argmax(Logit[n,c])
        "loss.npy" = Loss
        "guess.npy" = Guess[n]
        "grad_w2.npy" = GradW2[c,h]
        "grad_b2.npy" = GradB2[c]
        "grad_w1.npy" = GradW1[h,d]
    """, {"x": x, "w1": w1, "b1": b1, "w2": w2, "b2": b2, "label": label}, {
        "loss": F32(loss, 80, 8), "guess": I64(logits.argmax(1)), "grad_w2": F32(delta.T @ hidden, 80, 4),
        "grad_b2": F32(delta.sum(0), 80, 1), "grad_w1": F32(((delta @ wide(w2)) * (hidden > 0)).T @ wide(x), 100, 4)}


@program
def standardisation(rng):
    x = f32(rng, 97, 5) * 3 + 2
    w = wide(x)
    return """
        X[n,f] = "x.npy"
        Mean[f] = mean(X[n,f])
        Variance[f] = mean((X[n,f] - Mean[f]) ** 2, axis=n)
        Z[n,f] = (X[n,f] - Mean[f]) / sqrt(Variance[f])
        Covariance[f,g] = Z[n,f] Z[n,g] / 97
        "mean.npy" = Mean[f]
        "variance.npy" = Variance[f]
        "z.npy" = Z[n,f]
        "covariance.npy" = Covariance[f,g]
    """, {"x": x}, {
        "mean": F32(w.mean(0), 97), "variance": F32(w.var(0), 97), "z": F32((w - w.mean(0)) / w.std(0), 97),
        "covariance": F32(numpy.corrcoef(w.T), 200, 1)}


@program
def cosine_similarity(rng):
    a, b = f32(rng, 13, 31), f32(rng, 7, 31)
    return """
        A[m,f] = "a.npy"
        B[n,f] = "b.npy"
        NormA[m] = sqrt(A[m,f] A[m,f])
        NormB[n] = sqrt(B[n,f] B[n,f])
        Cosine[m,n] = A[m,f] B[n,f] / (NormA[m] * NormB[n])
        Direct[m,n] = A[m,f] B[n,f] / sqrt(A[m,g] A[m,g] B[n,h] B[n,h])
        "cosine.npy" = Cosine[m,n]
        "direct.npy" = Direct[m,n]
    """, {"a": a, "b": b}, {name: F32(
        wide(a) @ wide(b).T / numpy.outer(*(numpy.linalg.norm(wide(y), axis=1) for y in (a, b))), 93, 1)
        for name in ("cosine", "direct")}


@program
def nearest_neighbours_vote(rng):
    centre = 4 * f32(rng, 3, 5)
    label, truth = ints(rng, 0, 2, 61), ints(rng, 0, 2, 17)
    train, test = centre[label] + f32(rng, 61, 5), centre[truth] + f32(rng, 17, 5)
    distance = ((wide(test)[:, None] - wide(train)) ** 2).sum(2)
    vote = softmax(-distance / 4) @ numpy.eye(3)[label]
    return """
        Train[n,f] = "train.npy"
        Test[m,f] = "test.npy"
        Label[n] = "label.npy"
        Truth[m] = "truth.npy"
        Distance[m,n] = Test[m,f] Test[m,f] - 2 Test[m,f] Train[n,f] + Train[n,f] Train[n,f]
        Weight[m,n.] = softmax(-Distance[m,n] / 4)
        IsClass[n,c] = one_hot(Label[n], 3)
        Vote[m,c] = Weight[m,n] IsClass[n,c]
        Prediction[m] = argmax(Vote[m,c], axis=c)
        Accuracy = mean(Prediction[m] == Truth[m], axis=m)
        "distance.npy" = Distance[m,n]
        "vote.npy" = Vote[m,c]
        "prediction.npy" = Prediction[m]
        "accuracy.npy" = Accuracy
    """, {"train": train, "test": test, "label": label, "truth": truth}, {
        "distance": F32(distance, 16, 600), "vote": F32(vote, 61, 150), "prediction": I64(vote.argmax(1)),
        "accuracy": F32((vote.argmax(1) == truth).mean(), 17, 1)}


@program
def power_iteration_of_three_steps(rng):
    g = f32(rng, 31, 31)
    a = wide(g) @ wide(g).T
    a32 = a.astype(numpy.float32)
    v = numpy.ones(31)
    for _ in range(3):
        u = wide(a32) @ v
        v = u / math.sqrt(u @ u)
    return """
        A[i,j] = "a.npy"
        V0[i] = A[i,j] * 0 + 1
        U1[i] = A[i,j] V0[j]
        V1[i] = U1[i] / sqrt(U1[k] U1[k])
        U2[i] = A[i,j] V1[j]
        V2[i] = U2[i] / sqrt(U2[k] U2[k])
        U3[i] = A[i,j] V2[j]
        V3[i] = U3[i] / sqrt(U3[k] U3[k])
        Value = V3[i] A[i,j] V3[j]
        "v.npy" = V3[i]
        "value.npy" = Value
    """, {"a": a32}, {"v": F32(v, 200, 1), "value": F32(v @ wide(a32) @ v, 200)}


@program
def jacobi_iteration(rng):
    n = 37
    d, r = positive(rng, n) * 8, f32(rng, n, n) / 8
    b = f32(rng, n)
    x = numpy.zeros(n)
    for _ in range(4):
        x = (wide(b) - wide(r) @ x) / wide(d)
    return """
        D[i] = "d.npy"
        R[i,j] = "r.npy"
        B[i] = "b.npy"
        X1[i] = B[i] / D[i]
        X2[i] = (B[i] - R[i,j] X1[j]) / D[i]
        X3[i] = (B[i] - R[i,j] X2[j]) / D[i]
        X4[i] = (B[i] - R[i,j] X3[j]) / D[i]
        Residual = (D[i] X4[i] + R[i,j] X4[j] - B[i]) (D[i] X4[i] + R[i,k] X4[k] - B[i])
        "x.npy" = X4[i]
        "residual.npy" = Residual
    """, {"d": d, "r": r, "b": b}, {
        "x": F32(x, 100, 1), "residual": F32(((wide(d) * x + wide(r) @ x - wide(b)) ** 2).sum(), 100, 5)}


@program
def normal_equations(rng):
    x, y = f64(rng, 97, 3), f64(rng, 97)
    gram = x.T @ x
    # Cramer's rule for three unknowns.
    return """
        X[n,f] = "x.npy"
        Y[n] = "y.npy"
        G[f,g] = X[n,f] X[n,g]
        R[f] = X[n,f] Y[n]
        C0 = G[1,1] G[2,2] - G[1,2] G[2,1]
        C1 = G[1,2] G[2,0] - G[1,0] G[2,2]
        C2 = G[1,0] G[2,1] - G[1,1] G[2,0]
        Determinant = G[0,0] C0 + G[0,1] C1 + G[0,2] C2
        W0 = (R[0] C0 + R[1] (G[0,2] G[2,1] - G[0,1] G[2,2]) + R[2] (G[0,1] G[1,2] - G[0,2] G[1,1])) / Determinant
        "determinant.npy" = Determinant
        "w0.npy" = W0
    """, {"x": x, "y": y}, {
        "determinant": F64(numpy.linalg.det(gram), 500), "w0": F64(numpy.linalg.solve(gram, x.T @ y)[0], 1000, 2)}


@program
def page_rank_step(rng):
    link = ints(rng, 0, 1, 41, 41)
    link[:, 0] = 1
    degree = link.sum(1)
    p = numpy.full(41, 1 / 41)
    for _ in range(2):
        p = 0.85 * (p / degree) @ link + 0.15 / 41
    return """
        Link[i,j] = "link.npy"
        Degree[i] = Link[i,j]
        P0[i] = 1 / 41 + 0 Degree[i]
        P1[j] = 0.85 P0[i] Link[i,j] / Degree[i] + 0.15 / 41
        P2[j] = 0.85 P1[i] Link[i,j] / Degree[i] + 0.15 / 41
        "degree.npy" = Degree[i]
        "p.npy" = P2[j]
        "total.npy" = P2[j] 1000
    """, {"link": link}, {"degree": I64(degree), "p": F32(p, 82, 1 / 8), "total": F32(1000 * p, 82, 125)}


@program
def heat_on_a_grid(rng):
    u = f32(rng, 13, 17)
    w = wide(u)
    for _ in range(3):
        q = numpy.pad(w, 1)
        w = w + 0.2 * (q[2:, 1:-1] + q[:-2, 1:-1] + q[1:-1, 2:] + q[1:-1, :-2] - 4 * w)
    step = "U{b}[i,j] = U{a}[i,j] + 0.2 (U{a}[i+1,j] + U{a}[i-1,j] + U{a}[i,j+1] + U{a}[i,j-1] - 4 U{a}[i,j])"
    return f"""
        U0[i,j] = "u.npy"
        {step.format(a=0, b=1)}
        {step.format(a=1, b=2)}
        {step.format(a=2, b=3)}
        "u.npy.npy" = U3[i,j]
    """, {"u": u}, {"u.npy": F32(w, 20, 6)}


@program
def polynomial_features(rng):
    x, c = f32(rng, 29), f32(rng, 4)
    w = wide(x)
    return """
        X[n] = "x.npy"
        C[k] = "c.npy"
        Horner[n] = ((C[3] X[n] + C[2]) X[n] + C[1]) X[n] + C[0]
        Powers[n] = C[0] + C[1] X[n] + C[2] X[n] ** 2 + C[3] X[n] ** 3
        Vandermonde[n] = C[k] X[n] ** Exponent[k]
        Exponent[k] = const([0, 1, 2, 3])
        "horner.npy" = Horner[n]
        "powers.npy" = Powers[n]
    """, {"x": x, "c": c}, {
        "horner": F32(numpy.polyval(wide(c)[::-1], w), 4, 40), "powers": F32(numpy.polyval(wide(c)[::-1], w), 4, 40)}


@program
def confusion_matrix(rng):
    truth, guess = ints(rng, 0, 4, 103), ints(rng, 0, 4, 103)
    table = numpy.zeros((5, 5), int)
    numpy.add.at(table, (truth, guess), 1)
    return """
        Truth[n] = "truth.npy"
        Guess[n] = "guess.npy"
        T[n,c] = one_hot(Truth[n], 5)
        G[n,d] = one_hot(Guess[n], 5)
        Table[c,d] = T[n,c] G[n,d]
        Right = Table[c,c]
        Recall[c] = Table[c,c] / (Table[c,d] One[d])
        One[d] = 1
        "table.npy" = Table[c,d]
        "right.npy" = Right
        "recall.npy" = Recall[c]
    """, {"truth": truth, "guess": guess}, {
        "table": NUMBER(table), "right": NUMBER(numpy.trace(table)), "recall": F32(numpy.diag(table) / table.sum(1))}


@program
def complex_products_as_pairs(rng):
    a, b = f32(rng, 2, 7, 13), f32(rng, 2, 13, 5)
    c = (wide(a)[0] + 1j * wide(a)[1]) @ (wide(b)[0] + 1j * wide(b)[1])
    return """
        A[z,i,k] = "a.npy"
        B[z,k,j] = "b.npy"
        Rule[x,y,z] = const([[[1, 0], [0, 1]], [[0, 1], [-1, 0]]])
        C[z,i,j] = Rule[x,y,z] A[x,i,k] B[y,k,j]
        Real[i,j] = A[0,i,k] B[0,k,j] - A[1,i,k] B[1,k,j]
        "c.npy" = C[z,i,j]
        "real.npy" = Real[i,j]
    """, {"a": a, "b": b}, {"c": F32(numpy.stack([c.real, c.imag]), 52, 30), "real": F32(c.real, 26, 30)}
