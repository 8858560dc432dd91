/* Every op by name: what Python binds.  A new kernel is one line here.
 *
 * READER marks arrays that come from a user and are only read, one bit each: they may be read-only.  The boundary takes nothing
 * read-only for any other array.  UPDATE is an optimizer's step, which only reads the gradient. */
#define READER(op, arrays) {#op, {op_##op##_f32, op_##op##_f64}, arrays},
#define ENTRY(op) READER(op, 0)
#define UPDATE(op) READER(op, 1u << 1)
#define PAIR(op) ENTRY(op##_forward) ENTRY(op##_backward)
#define TANGENT(op) ENTRY(op##_tangent_backward)

static const nn_entry nn_table[] = {
    /* moving rows */
    READER(gather_rows, 1u << 1) READER(gather_csr, 1u << 1 | 1u << 2 | 1u << 3) READER(gather_labels, 1u << 1)
    READER(gather_one_hot, 1u << 1) READER(gather_weights, 1u << 1) ENTRY(write_rows) ENTRY(spread_rows) ENTRY(nothing)
    /* dense */
    ENTRY(dense_forward) ENTRY(dense_forward_direct) ENTRY(dense_forward_narrow)
    ENTRY(dense_backward_input) ENTRY(dense_backward_weight) ENTRY(dense_backward_bias) ENTRY(pack_weight) ENTRY(pack_large_weight)
    ENTRY(dense_forward_blas) ENTRY(dense_backward_input_blas) ENTRY(dense_backward_weight_blas)
    /* recurrent */
    PAIR(simple_rnn) PAIR(gru)
    ENTRY(dense_steps_forward) ENTRY(dense_steps_backward_input) ENTRY(dense_steps_backward_weight)
    ENTRY(dense_steps_forward_blas) ENTRY(dense_steps_backward_input_blas) ENTRY(dense_steps_backward_weight_blas)
    ENTRY(dense_steps_backward_bias)
    /* activations */
    PAIR(sigmoid) PAIR(tanh) PAIR(relu) PAIR(softplus) PAIR(softmax) PAIR(identity) PAIR(leaky_relu) PAIR(elu)
    PAIR(gelu) PAIR(gelu_tanh) PAIR(silu)
    /* noise */
    PAIR(dropout) PAIR(scaled) ENTRY(gaussian_noise_forward) PAIR(gaussian_dropout)
    PAIR(shakeout) PAIR(whiteout_multiplicative) PAIR(whiteout_additive)
    PAIR(activity_l1)
    /* normalisation */
    PAIR(batch_norm) PAIR(batch_norm_relu) ENTRY(batch_norm_sums) ENTRY(batch_norm_statistics) ENTRY(batch_renorm_statistics)
    ENTRY(batch_norm_constants) ENTRY(batch_norm_track) ENTRY(batch_renorm_track)
    ENTRY(batch_norm_backward_sums) ENTRY(batch_norm_relu_backward_sums)
    ENTRY(batch_norm_backward_statistics) PAIR(group_norm) PAIR(rms_norm) ENTRY(group_norm_backward_weight)
    ENTRY(weight_norm_weight) ENTRY(weight_norm_backward)
    /* losses and hits */
    ENTRY(squared_error) ENTRY(mean_squared_error) ENTRY(mean_absolute_error) ENTRY(huber) ENTRY(hinge)
    ENTRY(binary_cross_entropy) ENTRY(kl_divergence) ENTRY(sigmoid_cross_entropy)
    ENTRY(softmax_cross_entropy) ENTRY(softmax_cross_entropy_labels)
    ENTRY(accuracy_labels) ENTRY(accuracy_targets) ENTRY(accuracy_binary)
    /* tangents: Hessian and Gauss-Newton products */
    ENTRY(dense_tangent_forward) ENTRY(dense_tangent_backward_input) ENTRY(dense_tangent_backward_weight)
    TANGENT(sigmoid) TANGENT(tanh) TANGENT(relu) TANGENT(softplus) TANGENT(softmax) TANGENT(identity) TANGENT(leaky_relu)
    TANGENT(elu) TANGENT(gelu) TANGENT(gelu_tanh) TANGENT(silu)
    ENTRY(squared_error_tangent) ENTRY(mean_squared_error_tangent) ENTRY(mean_absolute_error_tangent) ENTRY(huber_tangent)
    ENTRY(hinge_tangent) ENTRY(binary_cross_entropy_tangent) ENTRY(kl_divergence_tangent)
    ENTRY(sigmoid_cross_entropy_tangent) ENTRY(softmax_cross_entropy_tangent)
    ENTRY(softmax_cross_entropy_labels_tangent) READER(load_direction, 1u << 1) ENTRY(add_product)
    PAIR(batch_norm_tangent) ENTRY(batch_norm_tangent_statistics) ENTRY(batch_norm_tangent_backward_sums)
    ENTRY(batch_norm_tangent_backward_statistics) PAIR(group_norm_tangent) ENTRY(group_norm_tangent_backward_weight)
    PAIR(rms_norm_tangent) ENTRY(rms_norm_tangent_backward_weight)
    ENTRY(weight_norm_tangent_weight) ENTRY(weight_norm_tangent_backward) PAIR(simple_rnn_tangent) PAIR(gru_tangent)
    ENTRY(dense_steps_tangent_forward) ENTRY(dense_steps_tangent_backward_input) ENTRY(dense_steps_tangent_backward_weight)
    /* gradients before the update */
    ENTRY(penalty) ENTRY(clip_value) ENTRY(square_sum) ENTRY(clip_factor) ENTRY(scale_gradient)
    ENTRY(gradient_noise)
    /* parameters after the update */
    ENTRY(shrink) ENTRY(average)
    /* optimizers */
    UPDATE(sgd_update) UPDATE(momentum_update) UPDATE(momentum_outside_update) UPDATE(nesterov_enter) UPDATE(nesterov_update)
    UPDATE(nesterov_leave) UPDATE(adagrad_update) UPDATE(adagrad_inside_update) UPDATE(rmsprop_update)
    UPDATE(rmsprop_inside_update) UPDATE(rmsprop_momentum_update) UPDATE(rmsprop_momentum_inside_update)
    UPDATE(rmsprop_centered_update) UPDATE(rmsprop_centered_inside_update) UPDATE(rmsprop_centered_momentum_update)
    UPDATE(rmsprop_centered_momentum_inside_update) UPDATE(adadelta_update) UPDATE(adadelta_outside_update)
    UPDATE(adam_update) UPDATE(adam_inside_update) UPDATE(adamw_update) UPDATE(adamw_inside_update) UPDATE(amsgrad_update)
    UPDATE(amsgrad_inside_update) UPDATE(adamax_update) UPDATE(nadam_update) UPDATE(lion_update) UPDATE(rprop_update)
    UPDATE(delta_bar_delta_update)
    {NULL, {NULL, NULL}, 0}
};
#undef READER
#undef ENTRY
#undef UPDATE
#undef PAIR
#undef TANGENT
